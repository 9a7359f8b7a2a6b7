"""The Jacobian and the Hessian of S, their sizes, and S under noise (Fig. 8, Eq. 8 and 9)."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from paperlib import indicator, intervals
from paperlib.intervals import Interval, over_images
from paperlib.model import softened
from paperlib.objective import margins
from paperlib.record import Measured
from paperlib.state import evaluating
from paperlib.train import Trained

# of S on the network as it is, of S on its copy with softplus, and of the network's cross-entropy
HESSIANS = ("hessian_relu", "hessian", "hessian_ce")
THRESHOLDS = {f"1e-{k}": 10.0**-k for k in range(6, 0, -1)}


@dataclass(frozen=True)
class Derivatives:
    """Of one network: for many images the slopes J, the curvature over a length, the norms of the loss's Hessian and the
    spread of S under noise; for a few the eigenvalues of each kind of ``HESSIANS``; for the drawn image the Hessians, the
    terms of Eq. 9 and the class that the network reads."""

    J: Float[Tensor, "n c h w"]
    curvature: Float[Tensor, "n"]
    loss_bend: Float[Tensor, "n"]
    spread: Float[Tensor, "n"]
    spectra: dict[str, Float[Tensor, "few d"]]
    drawn: dict[str, Float[Tensor, "d d"]]
    bound: dict[str, float]
    reads: int


def measure(
    networks: dict[str, Trained], *, digit: int, image: int, images: int, hessian_images: int, beta: float, h: float,
    eps: float, noise: float, draws: int, share_J: float, share_H: float, seed: int, device: str,
) -> Measured:  # fmt: skip
    """Both networks at the same test images; the first of ``hessian_images`` is the drawn one, the ``image``-th of its
    ``digit``. ``share_J`` and ``share_H`` are the percentages near zero that the thresholds are looked for."""
    data = networks["natural"].dataset
    test = data.test.first(images)
    x, y = test.x.to(device), test.y.to(device)
    drawn = int((y == digit).nonzero()[image])
    few = [drawn, *(i for i in range(images) if i != drawn)][:hessian_images]
    options = {"beta": beta, "h": h, "eps": eps, "noise": noise, "draws": draws, "seed": seed}
    found = {role: derivatives(each.model, x, y, few, **options) for role, each in networks.items()}
    values = {role: network_values(of) for role, of in found.items()}
    values |= compared(found, share_J=share_J, share_H=share_H)
    arrays = {"image": x[drawn].cpu().numpy(), "drawn": np.array(drawn)}
    arrays |= {f"{name}_{role}": array for role, of in found.items() for name, array in network_arrays(of).items()}
    return Measured(intervals.without_gaps(values), arrays, ((data, images),), {"noise": seed})


def derivatives(
    network: Callable, x: Float[Tensor, "n c h w"], y: Int[Tensor, "n"], few: list[int], *, beta: float, h: float,
    eps: float, noise: float, draws: int, seed: int,
) -> Derivatives:  # fmt: skip
    """All that is measured of one network; Hessians at the images ``few``, whose first is the drawn one."""
    smooth, at, label = softened(network, beta), x[few[:1]], y[few[:1]]
    first, spectra = hessians(network, smooth, x[few], y[few])
    generator = torch.Generator().manual_seed(seed)
    margin = float(margins(smooth, at, label))
    terms = indicator.bound(indicator.jacobian(smooth, at, label), first["hessian"], eps=eps)
    return Derivatives(
        J=indicator.jacobian(network, x, y),
        curvature=indicator.curvature_at_scale(network, x, y, h=h),
        loss_bend=indicator.cross_entropy_hessian_norm(network, x),
        spread=indicator.noise_spread(network, x, y, size=noise, draws=draws, generator=generator),
        spectra=spectra, drawn=first, bound={"margin": margin} | terms, reads=read_class(network, at),
    )  # fmt: skip


def network_values(of: Derivatives) -> dict:
    """The numbers of one network."""
    soft, loss = of.spectra["hessian"], of.spectra["hessian_ce"]
    return {
        "jacobian": sizes(of.J) | {"near_zero": near_zero(of.J)},
        "hessian": sizes(soft) | {"near_zero": near_zero(soft)},
        "hessian_relu": {"norm": sizes(of.spectra["hessian_relu"])["norm"]},
        "hessian_ce": sizes(loss) | {"norm": over_images(of.loss_bend, ""), "rank": rank(loss)},
        "curvature": {"mean": over_images(of.curvature, "")},
        "noise": {"spread": over_images(of.spread, "S")},
        "bound": of.bound,
    }


def compared(found: dict[str, Derivatives], *, share_J: float, share_H: float) -> dict:
    """The natural network beside the robust one: ratios, shares near zero at the same threshold, and S under noise."""
    J, soft = {role: of.J for role, of in found.items()}, {role: of.spectra["hessian"] for role, of in found.items()}
    ratios = {
        "jacobian_norm": J, "jacobian_mean": {role: indicator.norms(of)["mean"] for role, of in J.items()},
        "hessian_norm": soft, "hessian_ce_norm": {role: of.loss_bend for role, of in found.items()},
        "curvature": {role: of.curvature for role, of in found.items()},
    }  # fmt: skip
    match = {
        "jacobian": matched(J["natural"], J["robust"], share_J),
        "hessian": matched(soft["natural"], soft["robust"], share_H),
    }
    noise = noise_ratios({role: of.spread for role, of in found.items()}, J)
    return {"ratio": {name: ratio(of) for name, of in ratios.items()}, "match": match, "noise": noise}


def network_arrays(of: Derivatives) -> dict[str, np.ndarray]:
    """What the pictures of one network take; half precision for the many slopes and entries, for the files are kept with
    the book."""
    arrays = {"J": of.J.cpu().half().numpy(), "reads": np.array(of.reads)}
    arrays |= {kind: spectra.cpu().float().numpy() for kind, spectra in of.spectra.items()}
    return arrays | {f"drawn_{kind}": magnitudes(H) for kind, H in of.drawn.items()}


def magnitudes(H: Float[Tensor, "d d"]) -> Float[np.ndarray, "k"]:
    """log10 of ``|H|``, for a symmetric matrix its upper triangle row by row: in half precision within half a percent
    whatever the size, minus infinity for zero."""
    rows, columns = torch.triu_indices(*H.shape)
    return H[rows, columns].abs().double().log10().cpu().half().numpy()


def read_class(network: Callable, at: Float[Tensor, "1 c h w"]) -> int:
    """The class that the network gives to an image."""
    with torch.no_grad(), evaluating(network):
        return int(network(at).argmax())


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


def rank(spectra: Float[Tensor, "n d"]) -> int:
    """The largest numerical rank: eigenvalues above 1e-5 times the image's largest."""
    magnitude = spectra.abs()
    return int((magnitude > 1e-5 * magnitude.amax(1, keepdim=True)).sum(1).max())


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
