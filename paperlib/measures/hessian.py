"""What can stand for the Hessian of S on a network whose own is zero, and which of it has the paper's shares of zeros."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from paperlib import indicator, intervals, secants
from paperlib.intervals import Interval, over_images
from paperlib.measures import tables
from paperlib.model import softened
from paperlib.record import Measured
from paperlib.secants import FINENESS, THRESHOLDS
from paperlib.train import Trained

# where a step starts, and along what
LINES = ("image-sign", "image-random", "beside-sign", "beside-random")
# of each Hessian: its eigenvalues, or its entries
KINDS = ("eigenvalues", "entries")
# an eigenvalue that counts as zero beside others of any size
TINY = 1e-6
# of each step: the change of the slope by its length
Lines = dict[tuple[str, float], Float[Tensor, "n"]]


@dataclass(frozen=True)
class Matrix:
    """One image's Hessian by one definition: Frobenius norm, magnitudes of its eigenvalues, and shares near zero."""

    norm: float
    spectrum: Float[np.ndarray, "d"]
    shares: dict[str, Float[np.ndarray, "t"]]


# by the definition's name, one for each image
Matrices = dict[str, list[Matrix]]


def measure(
    networks: dict[str, Trained], *, images: int, hessian_images: int, h: list[float], beside: float, beta: list[float],
    scale: list[float], share_natural: float, share_minmax: float, points: float, norm_ratio: float, factor: float,
    seed: int, device: str,
) -> Measured:  # fmt: skip
    """Curvature along steps of size ``h`` over ``images``, Hessians of the first ``hessian_images`` of them by every
    definition, and how near each comes to what the paper has: two shares (percent), within ``points`` or not, and a ratio of
    norms, within a ``factor`` or not."""
    data = next(iter(networks.values())).dataset
    x, y = tables.inputs(data, images, device)
    models = {role: each.model for role, each in networks.items()}
    lines = {role: along_lines(model, x, y, h, beside=beside, seed=seed) for role, model in models.items()}
    losses = {role: secants.cross_entropy_spectrum(model, x) for role, model in models.items()}
    few = x[:hessian_images], y[:hessian_images]
    wanted = {"natural": share_natural, "minmax": share_minmax}
    # of other networks the spectra alone are shown
    lengths = {role: scale if role in wanted else [] for role in models}
    found = {role: matrices(model, *few, beta=beta, scale=lengths[role]) for role, model in models.items()}
    values = {role: network_values(lines[role], losses[role], of, beta, x[0].numel()) for role, of in found.items()}
    match = {name: matched(name, found, wanted) for name in found["natural"]}
    ratio = ratios(found)
    alike = [name for name, of in ratio.items() if of and norm_ratio / factor <= of["mean"] <= norm_ratio * factor]
    values |= {"match": match, "nearest": counted(match, points, alike), "ratio": ratio}
    arrays = {f"loss_{role}": of.cpu().numpy() for role, of in losses.items()}
    return Measured(intervals.without_gaps(values), arrays, ((data, images),), {"steps": seed})


def along_lines(
    model: Callable, x: Float[Tensor, "n c h w"], y: Int[Tensor, "n"], sizes: list[float], *, beside: float, seed: int
) -> Lines:
    """The change of the slope along each of ``LINES`` at each size (of a pixel's move). A step starts at the image, or
    ``beside`` it: every pixel moved at random by at most so much, for an image's own black pixels may lie on kinks."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.rand(x.shape, generator=generator, dtype=x.dtype).to(x.device)
    signs = torch.rand(x.shape, generator=generator, dtype=x.dtype).to(x.device).sub(0.5).sign()
    found = {}
    for place, start in (("image", x), ("beside", x + beside * (drawn - x))):
        for name, step in (("sign", indicator.jacobian(model, start, y).sign()), ("random", signs)):
            for h in sizes:
                found[f"{place}-{name}", h] = secants.slope_change(model, start, y, h * step)
    return found


def matrices(
    model: Callable, x: Float[Tensor, "n c h w"], y: Int[Tensor, "n"], *, beta: list[float], scale: list[float]
) -> Matrices:
    """Every definition's Hessian at every image: of S as it is, of S on copies with softplus, of S by differences over a
    length, of the cross-entropy, and the last with its eigenvalues in single precision."""
    smooth = {sharpness: softened(model, sharpness) for sharpness in beta}
    found: Matrices = {}
    for image, label in zip(x, y.tolist(), strict=True):
        loss = indicator.cross_entropy_hessian(model, image)
        of_image = {"hessian_relu": matrix(indicator.hessian(model, image, label), kinds=KINDS[:1])}
        for sharpness, copied in smooth.items():
            of_image[softplus(sharpness)] = matrix(indicator.hessian(copied, image, label))
        for h in scale:
            of_image[differences(h)] = matrix(secants.hessian_at_scale(model, image, label, h=h))
        of_image["hessian_ce"] = matrix(loss, secants.cross_entropy_spectrum(model, image[None])[0])
        of_image["single precision"] = matrix(loss, torch.linalg.eigvalsh(loss.float()), kinds=KINDS[:1])
        for name, of in of_image.items():
            found.setdefault(name, []).append(of)
    return found


def softplus(beta: float) -> str:
    """The name of a softplus copy's Hessian."""
    return f"softplus {beta:g}"


def differences(h: float) -> str:
    """The name of a Hessian by differences over a length."""
    return f"differences {h:g}"


def matrix(H: Float[Tensor, "d d"], spectrum: Float[Tensor, "k"] | None = None, *, kinds: tuple[str, ...] = KINDS) -> Matrix:
    """One Hessian, with the shares of ``kinds``; eigenvalues beyond those given are zero, and all are where it is."""
    given = spectrum if spectrum is not None else indicator.spectrum(H) if H.any() else H.new_zeros(0)
    whole = torch.cat([given.double(), given.new_zeros(len(H) - len(given), dtype=torch.float64)])
    numbers = {"eigenvalues": whole, "entries": H}
    shares = {kind: secants.near_zero_shares(numbers[kind]) for kind in kinds}
    return Matrix(float(H.double().norm()), whole.abs().cpu().numpy(), shares)


def network_values(lines: Lines, loss: Float[Tensor, "n k"], found: Matrices, beta: list[float], d: int) -> dict[str, dict]:
    """The numbers of one network of images of ``d`` pixels; ``growth`` is what the largest eigenvalue of the softplus copies
    has at the largest beta over a hundredth of it."""
    values: dict[str, dict] = {name: {} for name in LINES}
    for (name, h), change in lines.items():
        values[name][f"{h:g}"] = of_step(change)
    spectra = {each: np.stack([of.spectrum for of in found[softplus(each)]]) for each in beta}
    largest, before = max(beta), max(beta) / 100
    growth = intervals.ratio(spectra[largest].max(1), spectra[before].max(1)) if before in spectra else None
    return values | {
        "softplus": {f"{each:g}": of_spectra(of) for each, of in spectra.items()}, "growth": growth,
        "hessian_ce": of_loss(loss, d),
    }  # fmt: skip


def of_step(change: Float[Tensor, "n"]) -> dict[str, Interval]:
    """Curvature along a step: median and mean over images, and the share of images without a kink on the way."""
    each = change.cpu().numpy()
    straight = intervals.accuracy(change == 0)
    return {"middle": intervals.interval(each, "", how="median"), "mean": over_images(change, ""), "straight": straight}


def of_spectra(spectra: Float[np.ndarray, "n d"]) -> dict[str, Interval]:
    """The largest magnitude of each image's eigenvalues (mean and median over images), their mean, and how many vanish."""
    top = spectra.max(1)
    return {
        "top": intervals.interval(top, ""), "top_median": intervals.interval(top, "", how="median"),
        "mean": intervals.interval(spectra.mean(1), ""),
        "vanishing": intervals.mean_interval(torch.from_numpy(100 * (spectra <= TINY).mean(1))),
    }  # fmt: skip


def of_loss(spectrum: Float[Tensor, "n k"], d: int) -> dict[str, object]:
    """The rank of the cross-entropy's Hessian, and how many of its ``d`` eigenvalues are zero. An eigenvalue counts above
    ``d`` times the rounding of double precision times the largest, as in numpy's ``matrix_rank``."""
    positive = spectrum > d * torch.finfo(torch.float64).eps * spectrum[:, :1]
    rank = positive.sum(1)
    return {
        "rank": over_images(rank.double(), ""), "rank_most": int(rank.max()), "rank_bound": spectrum.shape[1] - 1,
        "zero": over_images(100 * (1 - rank.double() / d)), "top": intervals.interval(spectrum[:, 0].cpu().numpy(), ""),
        "top_median": intervals.interval(spectrum[:, 0].cpu().numpy(), "", how="median"),
    }  # fmt: skip


def matched(name: str, found: dict[str, Matrices], wanted: dict[str, float]) -> dict[str, dict]:
    """Of one definition, its eigenvalues and its entries: the threshold, and the power of ten, that brings both networks
    nearest to the shares ``wanted`` of them."""
    of = {role: found[role][name] for role in wanted}
    return {kind: nearest(of, kind, wanted) for kind in of["natural"][0].shares}


def nearest(of: dict[str, list[Matrix]], kind: str, wanted: dict[str, float]) -> dict[str, object]:
    """Both networks' shares at the best threshold and at the best power of ten, and how many points the worse one misses."""
    shares = {role: share_curve(each, kind) for role, each in of.items()}
    values = {}
    for where, every in (("any", 1), ("ten", FINENESS)):
        index, miss = secants.common_threshold(shares, wanted, every=every)
        there = {role: torch.tensor([each.shares[kind][index] for each in images]) for role, images in of.items()}
        values[where] = {"threshold": float(THRESHOLDS[index]), "miss": miss}
        values[where] |= {role: intervals.mean_interval(each) for role, each in there.items()}
    return values


def share_curve(images: list[Matrix], kind: str) -> Float[np.ndarray, "t"]:
    """The share of all images' numbers below each threshold."""
    return np.mean([each.shares[kind] for each in images], axis=0)


def counted(match: dict[str, dict], points: float, alike: list[str]) -> dict[str, object]:
    """How many definitions come within so many points at one threshold, which comes nearest, and how many of them have
    norms ``alike`` as well; the same of powers of ten; and the least miss of the two that need no choice: the exact Hessian
    of S, and the loss's eigenvalues."""
    values: dict[str, object] = {}
    for where in ("any", "ten"):
        misses = {(name, kind): of[kind][where]["miss"] for name, of in match.items() for kind in of}
        best = min(misses, key=misses.get)
        within = [name for (name, _), miss in misses.items() if miss <= points]
        values[where] = {
            "within": len(within), "definitions": len(misses), "best": ", ".join(best), "miss": misses[best],
            "norms_too": sum(name in alike for name in within),
        }  # fmt: skip
    exact = [match[name]["eigenvalues"]["any"]["miss"] for name in ("hessian_relu", "hessian_ce")]
    return values | {"unchanged": min(exact)}


def ratios(found: dict[str, Matrices]) -> dict[str, Interval | None]:
    """By definition, the natural network's mean Frobenius norm over the robust one's, on the same images."""
    norms = {
        role: {name: np.array([each.norm for each in images]) for name, images in of.items()} for role, of in found.items()
    }
    return {name: intervals.ratio(of, norms["minmax"][name]) for name, of in norms["natural"].items()}
