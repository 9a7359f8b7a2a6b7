"""Slices through a high-dimensional function (Eq. 1): directions, one ``surface()``, and the way to the boundary.

The origin may be an image or a network's parameters; ``input_function`` and ``parameter_function`` make the function
of one point that ``surface()`` evaluates on the plane o + alpha u + beta v.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from tqdm import tqdm

from paperlib import sealed
from paperlib.fingerprint import tensors_digest
from paperlib.objective import ATTACKED, climbed, margins
from paperlib.precision import laid_out
from paperlib.refusal import check_choice, check_count, check_positive, is_integer, is_number, reject
from paperlib.state import check_batch, check_finite, check_images, check_labels, check_like, evaluating, input_gradient

PointFunction = Callable[[Float[Tensor, "n ..."]], Float[Tensor, "n"]]
DIRECTIONS = ("random", "adversarial")
# between two writes of what is done
SECONDS = 10
# images of a network's walk at a time: what they leave behind in a layer stays near the processor
IMAGES = 64


# Directions. All of one plot are brought to the same norm, or the picture shows the norms instead of the network.


def random_direction(x: Float[Tensor, "..."], *, generator: torch.Generator) -> Float[Tensor, "..."]:
    """Random signs, the fair partner of a gradient's signs, shaped like ``x``."""
    return torch.randn(x.shape, generator=generator, dtype=x.dtype).to(x.device).sign()


def adversarial_direction(
    model: Callable, x: Float[Tensor, "n c h w"], y: Int[Tensor, "n"], *, objective: str = "cw"
) -> Float[Tensor, "n c h w"]:
    """The direction of an attack's first step: the signs of the gradient of any objective of Eq. 3. Raises ValueError for
    a wrong name.
    """
    check_batch(x, y)
    with evaluating(model):
        with torch.no_grad():
            f = climbed(objective, model(x), y)
        _, gradient = input_gradient(lambda batch: f(model(batch), torch.arange(len(x), device=x.device)), x)
    return gradient.sign()


def orthogonal(v: Float[Tensor, "n ..."], u: Float[Tensor, "n ..."]) -> Float[Tensor, "n ..."]:
    """``v`` without its part along ``u``, brought back to the norm of ``v``."""
    flat_u, flat_v = u.flatten(1), v.flatten(1)
    along = (flat_v * flat_u).sum(1, keepdim=True) / flat_u.square().sum(1, keepdim=True).clamp_min(1e-30)
    rest = flat_v - along * flat_u
    return (rest * (flat_v.norm(dim=1) / rest.norm(dim=1).clamp_min(1e-30))[:, None]).view_as(v)


def input_plane(
    model: Callable, x: Float[Tensor, "n c h w"], y: Int[Tensor, "n"], *, direction: str, climbs: str = "cw",
    generator: torch.Generator,
) -> tuple[Float[Tensor, "n c h w"], Float[Tensor, "n c h w"]]:  # fmt: skip
    """Each image's own plane: u random signs (``random``) or the signs of the gradient that an attack with the
    objective ``climbs`` follows (``adversarial``), v random signs made orthogonal to u; all of norm sqrt(d).

    The random signs depend on the generator and the images' shape alone, so that compared networks share them. Where a
    gradient is exactly zero, u takes a random sign: its norm stays that of the others. ValueError for a wrong name.
    """
    check_batch(x, y)
    check_choice("direction", direction, DIRECTIONS)
    check_choice("climbs", climbs, ATTACKED)
    r, v = (random_direction(x, generator=generator) for _ in range(2))
    if direction == "random":
        return r, orthogonal(v, r)
    u = adversarial_direction(model, x, y, objective=climbs)
    u = torch.where(u == 0, r, u)
    return u, orthogonal(v, u)


def filter_normalised(model: nn.Module, *, generator: torch.Generator) -> Tensor:
    """A Gaussian direction in parameter space, each filter scaled to its weight's norm (Li et al. 2017); flat ``(p,)``.

    Parameters with one dimension (biases, BatchNorm's scale and shift) get a zero direction.
    """
    parts = []
    for weight in model.parameters():
        noise = torch.randn(weight.shape, generator=generator, dtype=weight.dtype).to(weight.device)
        if weight.ndim > 1:
            rows, noise_rows = weight.detach().flatten(1), noise.flatten(1)
            noise_rows = noise_rows * (rows.norm(dim=1) / noise_rows.norm(dim=1).clamp_min(1e-30))[:, None]
            parts.append(noise_rows.flatten())
        else:
            parts.append(torch.zeros_like(noise))
    return torch.cat(parts)


# The function of one point.


def input_function(model: Callable, label: int, objective: Callable) -> PointFunction:
    """Images ``(n, c, h, w)`` -> the objective (logits, labels -> values) with the label held fixed; of a network as it is
    now."""
    reject(not (is_integer(label) and label >= 0), f"label is {label!r}; allowed are labels 0..K-1")
    model = laid_out(model)

    def f(points: Float[Tensor, "n c h w"]) -> Float[Tensor, "n"]:
        y = torch.full((len(points),), label, dtype=torch.long, device=points.device)
        with torch.no_grad(), evaluating(model):
            return objective(model(points), y)

    return f


def parameters_of(model: nn.Module) -> Float[Tensor, "p"]:
    """All parameters as one flat copy, the origin of a surface in parameter space."""
    return torch.cat([weight.detach().flatten() for weight in model.parameters()])


def parameter_function(
    model: nn.Module, x: Float[Tensor, "n c h w"], y: Int[Tensor, "n"], objective: Callable
) -> PointFunction:
    """Flat parameters ``(m, p)`` -> the objective's mean over the images, without walking the caller's weights.

    A copy of the network is made once and walked instead, ``IMAGES`` images at a time. BatchNorm keeps its running
    statistics (Li et al. 2017 do the same), so that only the parameters move.
    """
    check_batch(x, y)
    walked = laid_out(model)
    reject(
        walked is model,
        f"model is a {type(model).__name__} that cannot be copied; allowed is a module of weights and buffers",
    )
    weights, batches = list(walked.parameters()), list(zip(x.split(IMAGES), y.split(IMAGES), strict=True))
    sizes = [weight.numel() for weight in weights]

    def one(flat: Float[Tensor, "p"]) -> Float[Tensor, ""]:
        for weight, part in zip(weights, flat.split(sizes), strict=True):
            weight.copy_(part.view(weight.shape))
        return torch.cat([objective(walked(images), labels) for images, labels in batches]).mean()

    def f(points: Float[Tensor, "m p"]) -> Float[Tensor, "m"]:
        with torch.no_grad():
            return torch.stack([one(flat) for flat in points])

    return f


# The surface.


@dataclass(frozen=True)
class Surface:
    """Values on the grid, rows beta, columns alpha."""

    values: Float[np.ndarray, "beta alpha"]
    alpha: Float[np.ndarray, "alpha"]
    beta: Float[np.ndarray, "beta"]


def surface(
    f: PointFunction,
    origin: Float[Tensor, "..."],
    u: Float[Tensor, "..."],
    v: Float[Tensor, "..."],
    *,
    alpha: Float[np.ndarray, "alpha"],
    beta: Float[np.ndarray, "beta"],
    clip: tuple[float, float] | None = None,
    batch: int = 128,
    store: Path | None = None,
    of: str = "",
    progress: bool = False,
) -> Surface:
    """F(alpha, beta) = f(o + alpha u + beta v) (Eq. 1) on the whole grid, at most ``batch`` points at a time.

    ``clip`` keeps the points in a box, (0, 1) for images. With ``store`` (a folder) what is done is written down every few
    seconds, under a hash of origin, directions, axes and ``of`` (what ``f`` is: objective, network and code), and an
    interrupted surface goes on there. Raises ValueError if the directions are not shaped like the origin.
    """
    reject(not isinstance(origin, Tensor), f"origin is {origin!r}; allowed is a tensor of finite numbers")
    check_finite("origin", origin)
    check_like("u", u, origin, "origin")
    check_like("v", v, origin, "origin")
    pair = isinstance(clip, Sequence) and len(clip) == 2 and all(map(is_number, clip))
    box = clip is None or (pair and clip[0] < clip[1])
    reject(not box, f"clip is {clip}; allowed are two finite numbers, the smaller one first")
    check_count("batch", batch)
    alpha, beta = _axis("alpha", alpha), _axis("beta", beta)
    a, b = (_column(t, origin) for t in (alpha, beta))

    def at(row: Int[Tensor, "m"], column: Int[Tensor, "m"]) -> Float[Tensor, "m"]:
        points = origin + a[column] * u + b[row] * v
        return f(points.clamp(*clip) if clip else points)

    part = _part(store, [clip, of], origin, u, v, alpha, beta)
    return Surface(_filled(at, (len(beta), len(alpha)), batch, part, progress), alpha, beta)


def surfaces(
    model: Callable,
    x: Float[Tensor, "n c h w"],
    y: Int[Tensor, "n"],
    u: Float[Tensor, "n c h w"],
    v: Float[Tensor, "n c h w"],
    *,
    objective: Callable,
    alpha: Float[np.ndarray, "alpha"],
    beta: Float[np.ndarray, "beta"],
    batch: int = 128,
    store: Path | None = None,
    of: str = "",
) -> Float[np.ndarray, "n beta alpha"]:
    """The objective around many images, each on its own plane within [0, 1], on one common grid (Eq. 1); ``store`` and
    ``of`` as in ``surface``."""
    check_batch(x, y)
    check_like("u", u, x)
    check_like("v", v, x)
    check_count("batch", batch)
    alpha, beta = _axis("alpha", alpha), _axis("beta", beta)
    a, b = (_column(t, x[0]) for t in (alpha, beta))

    def at(i: Int[Tensor, "m"], row: Int[Tensor, "m"], column: Int[Tensor, "m"]) -> Float[Tensor, "m"]:
        return objective(model((x[i] + a[column] * u[i] + b[row] * v[i]).clamp(0, 1)), y[i])

    part = _part(store, [of], x, y, u, v, alpha, beta)
    model = laid_out(model)
    with torch.no_grad(), evaluating(model):
        return _filled(at, (len(x), len(beta), len(alpha)), batch, part)


def _axis(name: str, coordinates: np.ndarray) -> np.ndarray:
    """The coordinates of a grid. InputError for none, or for any that is not finite."""
    try:
        axis = np.asarray(coordinates, dtype=float)
    except (TypeError, ValueError):
        axis = np.zeros(())
    reject(axis.ndim != 1, f"{name} is {coordinates!r}; allowed is a list of finite numbers")
    check_finite(name, axis)
    return axis


def _column(coordinates: np.ndarray, origin: Tensor) -> Tensor:
    column = torch.as_tensor(coordinates, dtype=origin.dtype, device=origin.device)
    return column.view(-1, *[1] * origin.ndim)


def _part(store: Path | None, words: list, *parts: Tensor | np.ndarray) -> Path | None:
    """Where a surface of these tensors and axes is kept."""
    return None if store is None else Path(store) / f"surface-{tensors_digest(words, *map(torch.as_tensor, parts))[:16]}.npz"


def _filled(
    at: Callable, shape: tuple[int, ...], batch: int, part: Path | None, progress: bool = False
) -> Float[np.ndarray, "..."]:
    """The values ``at`` all indices of a grid, at most ``batch`` at a time; those that an interrupted call left in the file
    ``part`` are not computed again."""
    values, kept = _kept(part, shape), time.monotonic()
    todo = np.flatnonzero(np.isnan(values))
    try:
        for cells in tqdm(np.split(todo, range(batch, len(todo), batch)), disable=not progress, desc="surface"):
            if len(cells):
                found = at(*(torch.from_numpy(index) for index in np.unravel_index(cells, shape)))
                values.ravel()[cells] = found.detach().double().cpu().numpy()
            if time.monotonic() - kept > SECONDS:
                _keep(part, values)
                kept = time.monotonic()
    finally:
        # also when interrupted
        _keep(part, values)
    return values


def _kept(part: Path | None, shape: tuple[int, ...]) -> Float[np.ndarray, "..."]:
    """The values that an interrupted call left, NaN where there are none yet; none of a damaged file."""
    try:
        return np.full(shape, np.nan) if part is None else sealed.read_arrays(part)["values"]
    except sealed.DamagedError:
        return np.full(shape, np.nan)


def _keep(part: Path | None, values: Float[np.ndarray, "..."]) -> None:
    if part is not None:
        sealed.write_arrays(part, values=values)


# The way to the boundary.


def boundary_distance(
    f: Callable[[Float[Tensor, "n c h w"]], Float[Tensor, "n"]],
    x: Float[Tensor, "n c h w"],
    direction: Float[Tensor, "n c h w"],
    *,
    reach: float,
    coarse: int = 64,
    bisections: int = 20,
) -> Float[Tensor, "n"]:
    """The smallest t > 0 with S(x + t direction) <= 0, for every example along its own direction, pixels kept in [0, 1]
    (arrows of Fig. 4).

    ``f`` gives S for a batch that stays aligned with ``x``. A coarse scan of ``coarse`` steps up to ``reach`` finds the
    first crossing and bisection refines it; 0 where S(x) <= 0 already, inf where nothing is crossed within ``reach``.
    Raises ValueError for ``reach`` <= 0.
    """
    check_images(x)
    check_like("direction", direction, x)
    check_positive("reach", reach)
    check_count("coarse", coarse)
    check_count("bisections", bisections, least=0)

    def S(t: Float[Tensor, "n"]) -> Float[Tensor, "n"]:
        points = x + t.view(-1, 1, 1, 1).to(x.dtype) * direction
        with torch.no_grad():
            return f(points.clamp(0, 1))

    ts = torch.linspace(0, reach, coarse + 1, dtype=torch.float64, device=x.device)
    crossed = torch.full((len(x),), torch.inf, dtype=torch.float64, device=x.device)
    for t in ts:
        here = t.expand(len(x))
        crossed = torch.where(torch.isinf(crossed) & (S(here) <= 0), here, crossed)
        if torch.isfinite(crossed).all():
            break
    low, high = (crossed - reach / coarse).clamp_min(0), crossed.clone()
    for _ in range(bisections):
        middle = torch.where(torch.isfinite(high), (low + high) / 2, 0.0)
        beyond = S(middle) <= 0
        low, high = torch.where(beyond, low, middle), torch.where(beyond & torch.isfinite(high), middle, high)
    return torch.where(crossed == 0, 0.0, high)


def decision_function(model: Callable, y: Int[Tensor, "n"]) -> Callable:
    """S for a batch aligned with the labels ``y``, for ``boundary_distance``."""
    check_labels(y, y)
    # in one batch, as the search along a direction takes its steps
    return lambda x: margins(model, x, y, batch=max(1, len(x)))
