"""One evaluation of a network, shared by every page that needs it.

The paper's protocol on all images at hand, the worst case on a choice of them with the classes in turn.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from paperlib.cascade import CASCADE, Stage, WorstCase, worst_case
from paperlib.data import Split
from paperlib.evaluate import robustness
from paperlib.intervals import accuracy
from paperlib.refusal import check_count, check_rising
from paperlib.state import check_batch


@dataclass(frozen=True)
class Evaluation:
    """``row``: intervals, attack -> eps (in the paper's unit), with ``several`` (the paper's attacks and PGD) and ``worst``.

    ``flags``: (attack, eps) -> whether each image is still classified rightly; those of ``worst`` are of the images
    ``chosen``.
    """

    row: dict
    flags: dict[tuple[str, float], Bool[Tensor, "n"]]
    chosen: Int[Tensor, "m"]
    found: WorstCase

    def on_chosen(self) -> dict[tuple[str, float], Bool[Tensor, "m"]]:
        """The flags of all attacks on the images of the worst case."""
        return {key: flag if key[0] == "worst" else flag[self.chosen] for key, flag in self.flags.items()}

    def summary(self) -> dict:
        """The worst case's images: how many are right without attack, which stage of the cascade broke what share of them
        first (percent, by eps; ``several``: left by it and broken by the paper's attacks or PGD), the rounds of restarts."""
        broken = {}
        for (attack, eps), flag in self.flags.items():
            if attack == "worst":
                row = self.found.broken_by[len(broken)]
                shares = {name: _percent(row == code) for code, name in enumerate(self.found.names) if code}
                broken[f"{eps:g}"] = shares | {"several": _percent((row == -1) & ~flag.cpu())}
        rounds = dict(zip(broken, self.found.rounds, strict=True))
        return {"clean": accuracy(self.flags["clean", 0.0][self.chosen]), "broken": broken, "rounds": rounds}


def _percent(flags: Bool[Tensor, "n"]) -> float:
    return 100 * float(flags.double().mean())


def evaluation(
    network: Callable, x: Float[Tensor, "n c h w"], y: Int[Tensor, "n"], *, eps: list[float], step_size: float, strong: int,
    pixel_scale: int = 1, steps: int = 10, pgd_steps: int = 40, pgd_restarts: int = 1,
    cascade: tuple[Stage, ...] = CASCADE, seed: int = 0, batch: int = 500, store: Path | None = None,
    of: tuple[str, str] = ("", ""),
) -> Evaluation:  # fmt: skip
    """The network under the paper's protocol on all images, and its worst case, over these attacks and the cascade, on
    ``strong`` of them.

    ``eps`` and ``step_size`` are in the paper's unit, 1/``pixel_scale`` of the image range. With ``store`` both parts are
    kept and resumed; ``of`` says what network and code the first and the second are. Raises ValueError for a wrong argument.
    """
    check_batch(x, y)
    check_count("strong", strong, most=len(x))
    check_count("pixel_scale", pixel_scale)
    check_count("seed", seed, least=0)
    check_rising("eps", eps)
    chosen = Split(x, y).balanced(strong).to(x.device)
    row, flags = robustness(
        network,
        x,
        y,
        eps=eps,
        step_size=step_size,
        pixel_scale=pixel_scale,
        steps=steps,
        pgd_steps=pgd_steps,
        pgd_restarts=pgd_restarts,
        generator=torch.Generator().manual_seed(seed),
        batch=batch,
        store=store,
        of=of[0],
    )
    found = worst_case(
        network,
        x[chosen],
        y[chosen],
        eps=[size / pixel_scale for size in eps],
        cascade=cascade,
        seed=seed,
        batch=batch,
        store=store,
        of=of[1],
    )
    row["several"] = row.pop("worst")
    flags = {("several" if attack == "worst" else attack, size): flag for (attack, size), flag in flags.items()}
    for size, unbroken in zip(eps, found.unbroken, strict=True):
        # an attack of the paper may have been lucky where the cascade was not
        flags["worst", size] = unbroken.to(x.device) & flags["several", size][chosen]
        row.setdefault("worst", {})[f"{size:g}"] = accuracy(flags["worst", size])
    return Evaluation(row, flags, chosen, found)


def beside(judged: Evaluation, left: dict[float, Bool[Tensor, "k"]], n: int) -> tuple[dict, dict]:
    """AutoAttack beside the others on the same images: attack -> eps -> interval, and by eps how many images it alone
    breaks, the worst case alone, and both leave.

    ``left``: eps -> its flags of the first ``k`` of the images ``judged.chosen``, no more than ``n``; where it has none, the
    others are those of the first ``n``.
    """
    row: dict = {"clean": accuracy(judged.flags["clean", 0.0][judged.chosen[:n]])}
    agreement = {}
    for (attack, eps), flag in judged.on_chosen().items():
        if attack != "clean":
            row.setdefault(attack, {})[f"{eps:g}"] = accuracy(flag[: len(left[eps]) or n])
    for eps, flag in left.items():
        if len(flag):
            ours = judged.flags["worst", eps][: len(flag)]
            row.setdefault("autoattack", {})[f"{eps:g}"] = accuracy(flag)
            agreement[f"{eps:g}"] = {
                "n": len(flag), "autoattack_alone": int((ours & ~flag).sum()), "worst_alone": int((~ours & flag).sum()),
                "both_leave": int((ours & flag).sum()),
            }  # fmt: skip
    return row, agreement
