"""Robust accuracy with intervals: the paper's protocol, the worst case, and signs that gradients are masked.

Accuracies are percentages; intervals are Wilson's, 95 %.
"""

from collections.abc import Callable
from pathlib import Path

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from paperlib import sealed
from paperlib.attack import ATTACKS, apgd, attack
from paperlib.fingerprint import tensors_digest
from paperlib.indicator import jacobian
from paperlib.intervals import accuracy
from paperlib.objective import cross_entropy, right
from paperlib.refusal import check_count, check_positive, check_rising, check_size, reject
from paperlib.square import square
from paperlib.state import check_batch, check_classes, check_images, evaluating
from paperlib.tracker import Rise, Success

# the attacks of the paper's tables
PAPER = ("fgsm", "bim", "cw")


def correct(model: Callable, x: Float[Tensor, "n c h w"], y: Int[Tensor, "n"], *, batch: int = 500) -> Bool[Tensor, "n"]:
    """Whether each image is classified rightly; not where its logits are not finite."""
    check_batch(x, y)
    check_count("batch", batch)
    if len(x) == 0:
        return torch.zeros_like(y, dtype=torch.bool)
    with torch.no_grad(), evaluating(model):
        return torch.cat([right(model(a), b) for a, b in zip(x.split(batch), y.split(batch), strict=True)])


def finite(model: Callable, x: Float[Tensor, "n c h w"], *, batch: int = 500) -> Bool[Tensor, "n"]:
    """Whether each image's logits are finite numbers."""
    check_images(x)
    check_count("batch", batch)
    if len(x) == 0:
        return torch.zeros(0, dtype=torch.bool, device=x.device)
    with torch.no_grad(), evaluating(model):
        return torch.cat([model(a).isfinite().all(1) for a in x.split(batch)])


def robustness(
    model: Callable, x: Float[Tensor, "n c h w"], y: Int[Tensor, "n"], *, eps: list[float], step_size: float,
    pixel_scale: int = 1, steps: int = 10, pgd_steps: int = 0, pgd_restarts: int = 1,
    generator: torch.Generator | None = None, batch: int = 500, store: Path | None = None, of: str = "",
) -> tuple[dict, dict]:  # fmt: skip
    """One row of Table 1 or 2, and the flags behind it.

    ``eps`` and ``step_size`` are in the paper's unit, 1/``pixel_scale`` of the image range. Values: ``clean``, each attack
    -> eps -> interval under the paper's protocol (last iterate, each eps alone), and ``worst`` -> eps -> interval: an
    image counts only if no iterate of any attack at or below eps, on cross-entropy or on the margin, broke it; with
    ``pgd_steps`` > 0 those attacks include PGD on both objectives from ``pgd_restarts`` random starts, with steps of
    eps/10 or 2.5 eps/steps, whichever is larger. Flags: (attack, eps) -> bool ``(n,)``, for paired tests.
    With ``store`` (a folder) the flags of every eps are written down, and an interrupted evaluation goes on where it
    stopped; ``of`` says what the model and the attacks are (hashes of weights and code), and which images the model
    has right must fit as well, should its own code have changed.
    Raises ValueError for ``eps`` that are empty, unsorted or equal in six digits.
    """
    check_rising("eps", eps)
    reject(len({f"{size:g}" for size in eps}) < len(eps), f"eps is {eps}; allowed are numbers that differ in six digits")
    check_positive("step_size", step_size)
    for name, count, least in (("pixel_scale", pixel_scale, 1), ("steps", steps, 1), ("pgd_steps", pgd_steps, 0),
                               ("pgd_restarts", pgd_restarts, 1)):  # fmt: skip
        check_count(name, count, least)
    clean = correct(model, x, y, batch=batch)
    settings = (list(eps), step_size, pixel_scale, steps, pgd_steps, pgd_restarts, of)
    part = None if store is None else Path(store) / f"robustness-{_fingerprint(settings, x, y, clean, generator)}.npz"
    flags = _kept(part, generator, x.device) or {("clean", 0.0): clean}
    # an image without finite logits is not right after an attack that leads it away from there
    counted, unbroken = finite(model, x, batch=batch), clean.clone()
    for size in eps:
        if ("worst", size) in flags:
            unbroken = flags["worst", size].clone()
            continue
        e, step = size / pixel_scale, step_size / pixel_scale
        for name in PAPER:
            options = {} if name == "fgsm" else {"step_size": step, "steps": steps}
            steps_to = Success(len(x))
            found = ATTACKS[name](model, x, y, eps=e, batch=batch, generator=generator, tracker=steps_to, **options)
            flags[name, size] = ~found.success & counted
            unbroken &= torch.isinf(steps_to.first).to(x.device)
        if pgd_steps:
            unbroken = survivors(model, x, y, unbroken, eps=e, steps=pgd_steps, restarts=pgd_restarts,
                                 generator=generator, batch=batch)  # fmt: skip
        flags["worst", size] = unbroken.clone()
        _keep(part, flags, generator)
    values: dict = {"clean": accuracy(flags["clean", 0.0])}
    for (name, size), flag in flags.items():
        if name != "clean":
            values.setdefault(name, {})[f"{size:g}"] = accuracy(flag)
    return values, flags


def pgd_step(eps: float, steps: int) -> float:
    """The step of a long attack: eps/10, or larger where that would not reach 2.5 eps in all (Madry et al. 2018)."""
    check_size("eps", eps)
    check_count("steps", steps)
    return max(eps / 10, 2.5 * eps / steps)


def _fingerprint(settings: tuple, x: Tensor, y: Tensor, clean: Tensor, generator: torch.Generator | None) -> str:
    state = torch.empty(0) if generator is None else generator.get_state()
    return tensors_digest(settings, x, y, clean, state)[:16]


def _kept(part: Path | None, generator: torch.Generator | None, device) -> dict:
    """The flags that an interrupted evaluation left, and its random numbers from there on; none without them, or where they
    are damaged."""
    if part is None or not part.exists():
        return {}
    try:
        arrays = {name: torch.from_numpy(array) for name, array in sealed.read_arrays(part).items()}
    except sealed.DamagedError:
        return {}
    state = arrays.pop("generator", None)
    if generator is not None:
        generator.set_state(state)
    return {(name.split("/")[0], float(name.split("/")[1])): flag.to(device) for name, flag in arrays.items()}


def _keep(part: Path | None, flags: dict, generator: torch.Generator | None) -> None:
    if part is None:
        return
    arrays = {f"{attack}/{size!r}": flag.cpu().numpy() for (attack, size), flag in flags.items()}
    state = {} if generator is None else {"generator": generator.get_state().numpy()}
    sealed.write_arrays(part, **arrays, **state)


def survivors(model, x, y, unbroken: Bool[Tensor, "n"], *, eps, steps, restarts, generator, batch=500) -> Bool[Tensor, "n"]:
    """Those of the unbroken images that PGD on cross-entropy and on the margin leaves unbroken too."""
    check_batch(x, y)
    check_size("eps", eps)
    check_count("steps", steps)
    check_count("restarts", restarts)
    unbroken = unbroken.clone()
    for objective in ("cross_entropy", "cw"):
        index = unbroken.nonzero()[:, 0]
        if len(index) == 0:
            break
        found = attack(
            model, x[index], y[index], eps=eps, steps=steps, step_size=pgd_step(eps, steps),
            objective=objective, random_start=True, restarts=restarts, stop_at_success=True, generator=generator,
            batch=batch,
        )  # fmt: skip
        # stopped at the first success, so that the last iterate speaks for all
        unbroken[index] = ~found.success
    return unbroken


def masking(
    model: Callable, x: Float[Tensor, "n c h w"], y: Int[Tensor, "n"], *, eps: float, step_size: float, steps: int = 20,
    generator: torch.Generator | None = None,
) -> dict[str, float]:  # fmt: skip
    """Signs of masked gradients (Athalye et al. 2018; Carlini et al. 2019), on the [0, 1] scale.

    ``zero_gradient``: share of images (percent) whose cross-entropy gradient is exactly zero. ``fgsm_minus_bim``: points by
    which one step leaves fewer images right than ``steps`` steps do; positive is suspicious. ``noise``: accuracy
    under uniform noise of size eps. ``unbounded``: accuracy at eps = 1, which must be near zero or at chance.
    ``cw_minus_ce``: accuracy under the margin objective minus under cross-entropy; far from 0 on either side means that
    one objective alone overstates robustness. ``square_alone``: share of images that Square, which needs no gradient,
    breaks and both objectives leave. ``targeted_minus_untargeted`` and ``adaptive_minus_fixed``: accuracy under targets,
    and under an adaptive step, minus without; well below 0, the plain attack overstates robustness. ``still_rising``:
    share of the images left whose margin did over a tenth of its whole fall in the last tenth of the steps.
    """
    check_batch(x, y)
    reject(len(x) == 0, "x holds no images; allowed is at least one")
    check_size("eps", eps)
    check_positive("step_size", step_size)
    check_count("steps", steps)
    J = jacobian(model, x, y, objective=cross_entropy)
    noise = (torch.rand(x.shape, generator=generator) * 2 - 1).to(x.device) * eps
    options, rise = {"eps": eps, "steps": steps}, Rise(len(x), steps)
    left = {
        "fgsm": ATTACKS["fgsm"](model, x, y, eps=eps), "bim": ATTACKS["bim"](model, x, y, step_size=step_size, **options),
        "cw": ATTACKS["cw"](model, x, y, step_size=step_size, tracker=rise, **options),
        "unbounded": attack(model, x, y, eps=1.0, steps=steps, step_size=max(step_size, 2.5 / steps)),
        "adaptive": apgd(model, x, y, objective="cw", **options),
        "square": square(model, x, y, eps=eps, queries=10 * steps, generator=generator),
    }  # fmt: skip
    left = {name: ~found.success for name, found in left.items()}
    left["targeted"] = left["adaptive"].clone()
    for target in likeliest(model, x, y, 3):
        left["targeted"] &= ~apgd(model, x, y, objective="cw", target=target, **options).success
    rates = {name: accuracy(flag)["mean"] for name, flag in left.items()}
    rising = rise.still_rising().to(x.device)[left["cw"]] > 0.1
    return {
        "zero_gradient": 100 * float((J.flatten(1).abs().amax(1) == 0).double().mean()),
        "fgsm_minus_bim": rates["bim"] - rates["fgsm"],
        "noise": accuracy(correct(model, (x + noise).clamp(0, 1), y))["mean"],
        "unbounded": rates["unbounded"],
        "cw_minus_ce": rates["cw"] - rates["bim"],
        "square_alone": 100 * float((left["bim"] & left["cw"] & ~left["square"]).double().mean()),
        "targeted_minus_untargeted": rates["targeted"] - rates["adaptive"],
        "adaptive_minus_fixed": rates["adaptive"] - rates["cw"],
        "still_rising": 100 * float(rising.double().mean()) if len(rising) else 0.0,
    }


def likeliest(model: Callable, x: Float[Tensor, "n c h w"], y: Int[Tensor, "n"], k: int) -> list[Int[Tensor, "n"]]:
    """The ``k`` likeliest classes of each image other than its own, likeliest first; fewer where there are fewer."""
    check_batch(x, y)
    check_count("k", k)
    with torch.no_grad(), evaluating(model):
        Z = torch.cat([model(part) for part in x.split(500)])
    check_classes(Z, y)
    ranked = Z.scatter(1, y[:, None], -torch.inf).argsort(dim=1, descending=True)
    return list(ranked[:, : min(k, Z.shape[1] - 1)].T)
