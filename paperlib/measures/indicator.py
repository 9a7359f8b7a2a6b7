"""The Jacobian and the Hessian of S, their sizes, and S under noise (Fig. 8, Eq. 8 and 9)."""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from paperlib import indicator, intervals
from paperlib.intervals import Interval, over_images

HESSIANS = {"hessian_relu": "H of S, ReLU", "hessian": "H of S, softplus", "hessian_ce": "H of the loss"}


THRESHOLDS = {f"1e-{k}": 10.0**-k for k in range(6, 0, -1)}


def hessians(
    network: Callable, smooth: Callable, x: Float[Tensor, "n c h w"], y: Int[Tensor, "n"]
) -> tuple[dict[str, Float[Tensor, "d d"]], dict[str, Float[Tensor, "n d"]]]:
    """The first image's Hessian of each kind of ``HESSIANS``, and all images' eigenvalues, ascending.

    Of S on the network as it is, of S on its copy ``smooth`` with softplus, and of the network's cross-entropy.
    """
    first, spectra = {}, {kind: [] for kind in HESSIANS}
    for image, label in zip(x, y.tolist(), strict=True):
        of_image = {
            "hessian_relu": indicator.hessian(network, image, label),
            "hessian": indicator.hessian(smooth, image, label),
            "hessian_ce": indicator.cross_entropy_hessian(network, image),
        }
        first = first or of_image
        for kind, H in of_image.items():
            spectra[kind].append(indicator.spectrum(H) if H.any() else H.new_zeros(len(H), dtype=torch.float64))
    return first, {kind: torch.stack(found) for kind, found in spectra.items()}


def sizes(entries: Float[Tensor, "n ..."]) -> dict[str, Interval]:
    """Intervals over images of the l2 norm, the mean and the largest magnitude of each image's entries.

    Of a spectrum, the l2 norm is the matrix's Frobenius norm.
    """
    of = indicator.norms(entries)
    return {name: over_images(of[key], "") for name, key in (("norm", "l2"), ("mean", "mean"), ("max", "linf"))}


def near_zero(entries: Float[Tensor, "n ..."]) -> dict[str, Interval]:
    """The share of entries (percent) with magnitude at most each of ``THRESHOLDS``."""
    return {
        name: over_images(100 * indicator.near_zero_ratio(entries, threshold=threshold))
        for name, threshold in THRESHOLDS.items()
    }


def rank(spectra: Float[Tensor, "n d"], *, tolerance: float = 1e-5) -> int:
    """The largest numerical rank: eigenvalues above ``tolerance`` times the image's largest."""
    magnitude = spectra.abs()
    return int((magnitude > tolerance * magnitude.amax(1, keepdim=True)).sum(1).max())


def matched(natural: Float[Tensor, "n ..."], robust: Float[Tensor, "n ..."], share: float) -> dict[str, float]:
    """The threshold at which ``share`` percent of the natural entries are near zero, and both networks' shares."""
    threshold = indicator.matching_threshold(natural, share / 100)
    shares = {
        role: 100 * float(indicator.near_zero_ratio(entries, threshold=threshold).mean())
        for role, entries in (("natural", natural), ("robust", robust))
    }
    return {"threshold": threshold, **shares}


def ratio(of: dict[str, Float[Tensor, "n ..."]]) -> Interval | None:
    """The natural network's mean l2 norm (of vectors, or plain numbers) over the robust one's, on the same images."""
    natural, robust = (of[role].reshape(len(of[role]), -1).norm(dim=1) for role in ("natural", "robust"))
    return intervals.ratio(natural.cpu().numpy(), robust.cpu().numpy())


def noise_ratios(
    spread: dict[str, Float[Tensor, "n"]], J: dict[str, Float[Tensor, "n c h w"]]
) -> dict[str, Interval | None]:
    """The spread of S under noise, natural over robust; the same of the l2 norms of J, which to first order predict it;
    and the first over the second, image by image (median)."""
    length = {role: indicator.norms(values)["l2"] for role, values in J.items()}
    measured, predicted = (of["natural"] / of["robust"] for of in (spread, length))
    beyond = intervals.interval((measured / predicted).cpu().numpy(), "×", how="median")
    return {"ratio": ratio(spread), "ratio_norm": ratio(J), "ratio_of_ratios": beyond}
