"""Slices through a high-dimensional function (Eq. 1): directions, one ``surface()``, and the way to the boundary.

The origin may be an image or a network's parameters; ``input_function`` and ``parameter_function`` make the function
of one point that ``surface()`` evaluates on the plane o + alpha u + beta v.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.func import functional_call
from tqdm import tqdm

from paperlib import sealed
from paperlib.objective import climbed
from paperlib.state import InputError, check_batch, evaluating, input_gradient, reject

PointFunction = Callable[[Float[Tensor, "n ..."]], Float[Tensor, "n"]]
DIRECTIONS = ("random", "adversarial")


# Directions. All of one plot are brought to the same norm, or the picture shows the norms instead of the network.


def random_direction(
    x: Float[Tensor, "..."], *, generator: torch.Generator, kind: str = "sign"
) -> Float[Tensor, "..."]:
    """Random signs (the fair partner of a gradient's signs) or a Gaussian direction, shaped like ``x``.

    Raises ValueError for another ``kind`` than ``sign`` or ``gaussian``.
    """
    reject(kind not in ("sign", "gaussian"), f"kind is {kind!r}; allowed are sign, gaussian")
    noise = torch.randn(x.shape, generator=generator, dtype=x.dtype).to(x.device)
    return noise.sign() if kind == "sign" else noise


def adversarial_direction(
    model: Callable, x: Float[Tensor, "n c h w"], y: Int[Tensor, "n"], *, objective: str = "cw", norm: str = "linf"
) -> Float[Tensor, "n c h w"]:
    """The direction of an attack's first step: the gradient of any objective of Eq. 3, as signs (``linf``) or
    l2-normalised (``l2``). Raises ValueError for a wrong name.
    """
    check_batch(x, y)
    reject(norm not in ("linf", "l2"), f"norm is {norm!r}; allowed are linf, l2")
    with evaluating(model):
        with torch.no_grad():
            f = climbed(objective, model(x), y)
        _, gradient = input_gradient(lambda batch: f(model(batch), torch.arange(len(x), device=x.device)), x)
    return gradient.sign() if norm == "linf" else same_norm(gradient, to=1.0)


def same_norm(direction: Float[Tensor, "n ..."], *, to: float | None = None) -> Float[Tensor, "n ..."]:
    """Each example's direction rescaled to l2 norm ``to``; by default sqrt(d), the norm of a sign vector, so that
    alpha reads as the root mean square change of a pixel. A zero direction stays zero.
    """
    target = direction[0].numel() ** 0.5 if to is None else to
    # in double precision: the square of a small gradient underflows in single, and a large quotient overflows
    lengths = direction.flatten(1).double().norm(dim=1).clamp_min(1e-300)
    scaled = direction.double() * (target / lengths).view(-1, *[1] * (direction.ndim - 1))
    return scaled.to(direction.dtype)


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
    reject(direction not in DIRECTIONS, f"direction is {direction!r}; allowed are {', '.join(DIRECTIONS)}")
    r, v = (random_direction(x, generator=generator) for _ in range(2))
    if direction == "random":
        return r, orthogonal(v, r)
    u = adversarial_direction(model, x, y, objective=climbs)
    u = torch.where(u == 0, r, u)
    return u, orthogonal(v, u)


def filter_normalised(model: nn.Module, *, generator: torch.Generator, one_dimensional: bool = False) -> Tensor:
    """A Gaussian direction in parameter space, each filter scaled to its weight's norm (Li et al. 2017); flat ``(p,)``.

    Parameters with one dimension (biases, BatchNorm's scale and shift) get a zero direction unless
    ``one_dimensional``; then each such vector is scaled as one filter.
    """
    parts = []
    for weight in model.parameters():
        noise = torch.randn(weight.shape, generator=generator, dtype=weight.dtype).to(weight.device)
        if weight.ndim > 1:
            rows, noise_rows = weight.detach().flatten(1), noise.flatten(1)
            noise_rows = noise_rows * (rows.norm(dim=1) / noise_rows.norm(dim=1).clamp_min(1e-30))[:, None]
            parts.append(noise_rows.flatten())
        else:
            scale = weight.detach().norm() / noise.norm().clamp_min(1e-30) if one_dimensional else 0.0
            parts.append((noise * scale).flatten())
    return torch.cat(parts)


# The function of one point.


def input_function(model: Callable, label: int, objective: Callable) -> PointFunction:
    """Images ``(n, c, h, w)`` -> the objective (logits, labels -> values) with the label held fixed."""

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

    BatchNorm keeps its running statistics (Li et al. 2017 do the same), so that only the parameters move.
    """
    shapes = {name: weight.shape for name, weight in model.named_parameters()}

    def one(flat: Float[Tensor, "p"]) -> Float[Tensor, ""]:
        parts = flat.split([shape.numel() for shape in shapes.values()])
        weights = {name: part.view(shape) for (name, shape), part in zip(shapes.items(), parts, strict=True)}
        return objective(functional_call(model, weights, (x,)), y).mean()

    def f(points: Float[Tensor, "m p"]) -> Float[Tensor, "m"]:
        with torch.no_grad(), evaluating(model):
            return torch.stack([one(flat) for flat in points])

    return f


# The surface.


@dataclass(frozen=True)
class Surface:
    """Values on the grid, rows beta, columns alpha; NaN where not computed yet."""

    values: Float[np.ndarray, "beta alpha"]
    alpha: Float[np.ndarray, "alpha"]
    beta: Float[np.ndarray, "beta"]
    fingerprint: str


def surface(
    f: PointFunction,
    origin: Float[Tensor, "..."],
    u: Float[Tensor, "..."],
    v: Float[Tensor, "..."],
    *,
    alpha: Float[np.ndarray, "alpha"],
    beta: Float[np.ndarray, "beta"],
    clip: tuple[float, float] | None = None,
    batch: int = 256,
    store: Path | None = None,
    of: str = "",
    progress: bool = False,
) -> Surface:
    """F(alpha, beta) = f(o + alpha u + beta v) (Eq. 1) on the whole grid, at most ``batch`` points at a time.

    ``clip`` keeps the points in a box, (0, 1) for images. With ``store`` (an ``.npz``) every batch is written down, and
    an interrupted surface goes on where it stopped; ``of`` says what ``f`` is (objective and hash of the weights), so
    that the store of another function is not taken for it. Raises ValueError if the directions are not shaped like the
    origin, or if the stored surface is another one.
    """
    reject(u.shape != origin.shape or v.shape != origin.shape, f"directions have shapes {tuple(u.shape)} and "
           f"{tuple(v.shape)}; allowed is the origin's, {tuple(origin.shape)}")  # fmt: skip
    reject(batch < 1, f"batch is {batch}; allowed is at least 1")
    alpha, beta = np.asarray(alpha, dtype=float), np.asarray(beta, dtype=float)
    fingerprint = _fingerprint(origin, u, v, alpha, beta, clip, of)
    values = _stored(store, fingerprint, (len(beta), len(alpha)))
    todo = np.flatnonzero(np.isnan(values.ravel()))
    for chunk in tqdm(np.split(todo, range(batch, len(todo), batch)), disable=not progress, desc="surface"):
        if len(chunk) == 0:
            continue
        rows, columns = np.unravel_index(chunk, values.shape)
        a, b = (_column(t, origin) for t in (alpha[columns], beta[rows]))
        points = origin + a * u + b * v
        values.ravel()[chunk] = f(points.clamp(*clip) if clip else points).detach().double().cpu().numpy()
        if store is not None:
            sealed.write_arrays(store, values=values, alpha=alpha, beta=beta, fingerprint=fingerprint)
    return Surface(values, alpha, beta, fingerprint)


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
    clip: tuple[float, float] | None = (0.0, 1.0),
    batch: int = 256,
) -> Float[np.ndarray, "n beta alpha"]:
    """The objective around many images, each on its own plane, on one common grid (Eq. 1)."""
    check_batch(x, y)
    a, b = (_column(np.asarray(t, dtype=float), x[0]) for t in (alpha, beta))
    cells = torch.cartesian_prod(*(torch.arange(len(t), device=x.device) for t in (x, b, a)))
    parts = []
    with torch.no_grad(), evaluating(model):
        for i, row, column in (chunk.T for chunk in cells.split(batch)):
            points = x[i] + a[column] * u[i] + b[row] * v[i]
            parts.append(objective(model(points.clamp(*clip) if clip else points), y[i]).double().cpu())
    return torch.cat(parts).view(len(x), len(b), len(a)).numpy()


def _column(coordinates: np.ndarray, origin: Tensor) -> Tensor:
    column = torch.as_tensor(coordinates, dtype=origin.dtype, device=origin.device)
    return column.view(-1, *[1] * origin.ndim)


def _fingerprint(origin: Tensor, u: Tensor, v: Tensor, alpha: np.ndarray, beta: np.ndarray, clip, of: str) -> str:
    digest = hashlib.sha256(json.dumps([clip, of]).encode())
    for part in (origin, u, v):
        digest.update(part.detach().cpu().contiguous().numpy().tobytes())
    for axis in (alpha, beta):
        digest.update(axis.tobytes())
    return digest.hexdigest()


def _stored(store: Path | None, fingerprint: str, shape: tuple[int, int]) -> np.ndarray:
    if store is None or not Path(store).exists():
        return np.full(shape, np.nan)
    try:
        kept = sealed.read_arrays(store)
        found, values = str(kept["fingerprint"]), kept["values"]
    except (sealed.DamagedError, KeyError) as error:
        raise InputError(f"store is {store}, which is no surface or a damaged one; name another file") from error
    reject(found != fingerprint, f"store is {store}, which holds another surface (other function, origin, directions "
           "or axes); name another file or remove it")  # fmt: skip
    return values


# The way to the boundary.


def boundary_distance(
    f: Callable[[Float[Tensor, "n c h w"]], Float[Tensor, "n"]],
    x: Float[Tensor, "n c h w"],
    direction: Float[Tensor, "n c h w"],
    *,
    reach: float,
    clip: tuple[float, float] | None = (0.0, 1.0),
    coarse: int = 64,
    bisections: int = 20,
) -> Float[Tensor, "n"]:
    """The smallest t > 0 with S(x + t direction) <= 0, for every example along its own direction (arrows of Fig. 4).

    ``f`` gives S for a batch that stays aligned with ``x``. A coarse scan of ``coarse`` steps up to ``reach`` finds the
    first crossing and bisection refines it; 0 where S(x) <= 0 already, inf where nothing is crossed within ``reach``.
    Raises ValueError for ``reach`` <= 0.
    """
    reject(reach <= 0, f"reach is {reach}; allowed is a positive number")
    wrong = coarse < 1 or bisections < 0
    reject(wrong, f"coarse is {coarse} and bisections is {bisections}; allowed are >= 1 and >= 0")

    def S(t: Float[Tensor, "n"]) -> Float[Tensor, "n"]:
        points = x + t.view(-1, 1, 1, 1).to(x.dtype) * direction
        with torch.no_grad():
            return f(points.clamp(*clip) if clip else points)

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
    from paperlib.objective import decision

    def S(x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n"]:
        with evaluating(model):
            return decision(model(x), y)

    return S
