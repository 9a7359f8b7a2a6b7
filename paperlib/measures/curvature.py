"""A slice of S with its slope, its bending and the circle that touches it best (Fig. 5)."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from paperlib import evaluate, indicator, surface
from paperlib.model import softened
from paperlib.objective import margins
from paperlib.record import Measured
from paperlib.train import Trained

LOOKED_AT = 200  # test images among which those that the network classifies rightly are counted


@dataclass(frozen=True)
class Slice:
    """The slice t -> S(x + t u) of a softplus copy with its derivatives, and of the network as it is (``relu``)."""

    u: Float[Tensor, "c h w"]
    t: Float[Tensor, "k"]
    S: Float[Tensor, "k"]
    slope: Float[Tensor, "k"]
    second: Float[Tensor, "k"]
    relu: Float[Tensor, "k"]


def measure(
    networks: dict[str, Trained], *, image: int, beta: float, extent: float, steps: int, point: float | None, device: str
) -> Measured:
    """The slice through the ``image``-th test image that the network classifies rightly, and its circle at one point."""
    network, data = networks["natural"].model, networks["natural"].dataset
    test = data.test.first(min(LOOKED_AT, len(data.test)))
    x, y = test.x.to(device), test.y.to(device)
    chosen = evaluate.correct(network, x, y).nonzero()[image]
    found = slice_of(network, x[chosen], y[chosen], beta=beta, extent=extent, steps=steps)
    values, circle = touching(found, extent=extent, point=point)
    arrays = {"image": x[chosen][0], "u": found.u, "t": found.t, "S": found.S, "slope": found.slope,
              "second": found.second, "S_relu": found.relu}  # fmt: skip
    arrays = {name: array.cpu().numpy() for name, array in arrays.items()} | {"circle": np.array(circle)}
    return Measured(values, arrays, ((data, 1),))


def slice_of(network: nn.Module, x: Float[Tensor, "1 c h w"], y: Tensor, *, beta: float, extent: float, steps: int) -> Slice:
    """S along the first step of the C&W attack, ``extent`` to each side, in double precision."""
    smooth = softened(network, beta).double()
    u = surface.adversarial_direction(network, x, y)[0].double()
    t = torch.linspace(-extent, extent, steps, dtype=torch.float64, device=x.device)
    S, slope, second = indicator.slice_derivatives(smooth, x[0].double(), int(y), u, t)
    relu = margins(network, x + t.float().view(-1, 1, 1, 1) * u.float(), y.expand(steps), batch=steps).double()
    return Slice(u, t, S, slope, second, relu)


def touching(found: Slice, *, extent: float, point: float | None) -> tuple[dict, tuple[float, float, float]]:
    """The numbers at one point of the slice, and the circle that touches it there: its centre and radius.

    Both axes get a unit of their own, so that the curve fills a square and the circle is one.
    """
    unit = float(found.S.max() - found.S.min()) / 2
    slope, second = found.slope * extent / unit, found.second * extent**2 / unit
    k = touched(found, slope, second, extent=extent, point=point)
    here, place = (float(slope[k]), float(second[k])), (float(found.t[k]) / extent, float(found.S[k]) / unit)
    circle = indicator.osculating_circle(*place, *here)
    three = torch.stack([found.t / extent, found.S / unit], dim=1)[k - 1 : k + 2].cpu()
    values = {
        "slope": here[0], "second": here[1], "curvature": indicator.slice_curvature(*here), "radius": circle[2],
        "curvature_numeric": indicator.three_point_curvature(three),
        "unscaled": {"slope": float(found.slope[k]), "second": float(found.second[k])},
        "point": {"alpha": float(found.t[k]), "S": float(found.S[k])}, "unit": {"alpha": extent, "S": unit},
    }  # fmt: skip
    return values, circle


def touched(
    found: Slice, slope: Float[Tensor, "k"], second: Float[Tensor, "k"], *, extent: float, point: float | None
) -> int:
    """Where the circle touches: nearest to ``point`` (-1 to 1), or, for none, where the drawn curve bends most without a
    kink and not at its ends."""
    if point is None:
        kappa = second.abs() / (1 + slope**2) ** 1.5
        allowed = indicator.free_of_kinks(found.t, found.slope, found.second) & (found.t.abs() <= 0.8 * extent)
        nearest = (kappa * allowed).argmax()
    else:
        nearest = (found.t / extent - point).abs().argmin()
    return int(nearest.clamp(1, len(found.t) - 2))
