"""What is timed: each row is work that another library does too, on the published networks of MNIST."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from paperlib import data, indicator, oracle, surface, tangents
from paperlib.attack import bim
from paperlib.cascade import CASCADE, LEVELS, worst_case
from paperlib.data import Split
from paperlib.model import softened
from paperlib.objective import cross_entropy, decision
from paperlib.precision import PRECISIONS, fastest
from press.bench.peers import peer
from press.bench.timing import Case, UnequalError
from press.plan import settings
from press.run import zoo

METHODS = ("natural", "ours", "minmax")
EPS, STEP, STEPS = (0.1, 0.2, 0.3), 0.1, 10
# of AutoAttack, which takes seconds an image: so many, at the size where some of each network's images are left
STRONG_IMAGES, STRONG_EPS = 20, {"natural": 0.1, "ours": 0.2, "minmax": 0.3}


@dataclass(frozen=True)
class Row:
    """Work to be timed: ``goal`` is the ratio of the fastest peer's seconds to ours that is wanted, ``rounds`` how often
    each case is timed behind the turn that warms up."""

    key: str
    title: str
    goal: float
    rounds: int
    cases: Callable[[], list[Case]]


@cache
def network(method: str) -> nn.Module:
    """A published network of MNIST. Raises DataError where the images are missing, which its card names."""
    path = settings.ROOT / "book" / "published" / "models" / f"mnist-{method}.safetensors"
    return zoo.load(path).model


@cache
def images(n: int) -> Split:
    """The first test images."""
    return data.load("mnist").test.first(n)


def right(model: Callable, x: Float[Tensor, "n c h w"], y: Tensor) -> Bool[Tensor, "n"]:
    """Whether each image is classified rightly."""
    with torch.no_grad():
        return model(x).argmax(1) == y


# An attack of the paper.


def bims() -> list[Case]:
    """BIM as the paper sets it, last iterate."""
    return [_bim(network(method), method, *_of(500), ("single",), 0.1) for method in METHODS]


def half_bims() -> list[Case]:
    """The same with gradients in whatever precision is fastest: rounding moves a few images to the other side."""
    return [_bim(network(method), method, *_of(500), PRECISIONS, 2.0) for method in METHODS]


def _bim(model: nn.Module, name: str, x: Tensor, y: Tensor, precisions: tuple[str, ...], most: float) -> Case:
    """``most``: by how many points accuracies may differ."""
    eps = 0.2

    def ours() -> Tensor:
        way = fastest(model, x, precisions=precisions)
        return bim(way.network, x, y, eps=eps, step_size=STEP, steps=STEPS, batch=100, precision=way.precision).x

    torchattacks, foolbox, adv_lib = peer("torchattacks"), peer("foolbox"), peer("adv_lib.attacks")
    peers = {
        "adv-lib": lambda: adv_lib.pgd_linf(model, x, y, eps, steps=STEPS, random_init=False, absolute_step_size=STEP),
        "torchattacks": lambda: torchattacks.PGD(model, eps=eps, alpha=STEP, steps=STEPS, random_start=False)(x, y),
        "foolbox": lambda: foolbox.attacks.LinfBasicIterativeAttack(abs_stepsize=STEP, steps=STEPS)(
            foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu"), x, y, epsilons=eps)[1],
    }  # fmt: skip

    def compare(results: dict) -> dict:
        accuracy = {key: 100 * float(right(model, found, y).double().mean()) for key, found in results.items()}
        # adv-lib returns the last iterate that is misclassified, the others the last of all
        rival = accuracy["torchattacks"]
        if abs(accuracy["ours"] - rival) > most:
            raise UnequalError(f"BIM leaves {accuracy['ours']:.1f} % of {name}, torchattacks {rival:.1f} %")
        return {"accuracy": accuracy}

    # one rival is enough for what only differs in its rounding
    peers = peers if precisions == ("single",) else {name: peers[name] for name in ("adv-lib", "torchattacks")}
    return Case(name, ours, peers, compare)


# The worst of several attacks.


def tables() -> list[Case]:
    """The nine cells of a row of Table 1, an image counting only where nothing at or below its size breaks it."""
    return [_table(network(method), method, *_of(500)) for method in METHODS]


def _table(model: nn.Module, name: str, x: Tensor, y: Tensor) -> Case:
    def ours() -> Bool[Tensor, "e n"]:
        way = fastest(model, x)
        cascade = LEVELS["short"]
        return worst_case(way.network, x, y, eps=list(EPS), cascade=cascade, batch=100, precision=way.precision).unbroken

    torchattacks, adv_lib = peer("torchattacks"), peer("adv_lib.attacks")

    def theirs() -> Bool[Tensor, "e n"]:
        left, rows = right(model, x, y), []
        for eps in EPS:
            left = left & right(model, torchattacks.FGSM(model, eps=eps)(x, y), y)
            left = left & right(
                model, torchattacks.PGD(model, eps=eps, alpha=STEP, steps=STEPS, random_start=False)(x, y), y
            )
            # one step more, for it looks at no iterate behind its last
            options = {"steps": STEPS + 1, "random_init": False, "absolute_step_size": STEP, "loss_function": "dl"}
            left = left & right(model, adv_lib.pgd_linf(model, x, y, eps, **options), y)
            rows.append(left)
        return torch.stack(rows)

    return Case(name, ours, {"torchattacks and adv-lib": theirs}, lambda results: _no_higher(results, name))


def _no_higher(results: dict[str, Bool[Tensor, "e n"]], name: str) -> dict:
    """The accuracies; UnequalError where ours are higher, that is the attack is weaker."""
    accuracy = {key: [100 * float(row) for row in found.double().mean(1)] for key, found in results.items()}
    (rival,) = (key for key in accuracy if key != "ours")
    if any(mine > other for mine, other in zip(accuracy["ours"], accuracy[rival], strict=True)):
        left = {of: ", ".join(f"{share:g}" for share in accuracy[of]) for of in ("ours", rival)}
        raise UnequalError(f"of {name} our worst case leaves {left['ours']} %, that of {rival} {left[rival]} %")
    return {"accuracy": accuracy}


def strongest() -> list[Case]:
    """The cascade beside the standard AutoAttack."""
    return [_strong(network(method), method, *_of(STRONG_IMAGES)) for method in METHODS]


def _strong(model: nn.Module, name: str, x: Tensor, y: Tensor) -> Case:
    eps = STRONG_EPS[name]
    peer("pyautoattack")

    def ours() -> Bool[Tensor, "1 n"]:
        way = fastest(model, x)
        return worst_case(way.network, x, y, eps=[eps], cascade=CASCADE, batch=100, precision=way.precision).unbroken

    peers = {"pyautoattack": lambda: oracle.autoattack(model, x, y, eps=eps)[None]}
    return Case(name, ours, peers, lambda results: _no_higher(results, name))


# Surfaces.


def parameter_surfaces() -> list[Case]:
    """The loss of 512 images on a plane through the weights."""
    model, (x, y) = network("ours"), _of(512)
    origin = surface.parameters_of(model)
    u, v = (surface.filter_normalised(model, generator=torch.Generator().manual_seed(k)) for k in (0, 1))
    grid = np.linspace(-0.5, 0.5, 11)

    def ours() -> np.ndarray:
        f = surface.parameter_function(model, x, y, cross_entropy)
        return surface.surface(f, origin, u, v, alpha=grid, beta=grid, batch=11).values

    def theirs() -> np.ndarray:
        return _loss_landscapes(model, x, y, origin, u, v, grid)

    return [Case("ours", ours, {"loss-landscapes": theirs}, lambda results: _close(results, 1e-4))]


def _loss_landscapes(model, x, y, origin, u, v, grid) -> np.ndarray:
    """The same grid as that library walks it, with NaN where it leaves points out: it steps before it looks, up every even
    column and down every odd one, where it so looks one row lower and, at last, outside the grid."""
    library, metrics = peer("loss_landscapes"), peer("loss_landscapes.metrics")
    steps, size = len(grid), grid[1] - grid[0]
    start, up, along = (grid[0], grid[0] - size), (grid[0], grid[-1]), (grid[-1] + size, grid[0] - size)
    ends = [copy.deepcopy(model) for _ in range(3)]
    for end, (a, b) in zip(ends, (start, along, up), strict=True):
        nn.utils.vector_to_parameters(origin + float(a) * u + float(b) * v, end.parameters())
    metric = metrics.Loss(nn.functional.cross_entropy, x, y)
    found = library.planar_interpolation(*ends, metric, steps=steps).T
    found[:-1, 1::2], found[-1, 1::2] = found[1:, 1::2].copy(), np.nan
    return found


def input_surfaces() -> list[Case]:
    """S of one image on a plane through it."""
    model, (x, y) = network("ours"), _of(1)
    u, v = surface.input_plane(model, x, y, direction="adversarial", generator=torch.Generator().manual_seed(0))
    grid = np.linspace(-0.3, 0.3, 51)

    def ours() -> np.ndarray:
        f = surface.input_function(model, int(y), decision)
        return surface.surface(f, x[0], u[0], v[0], alpha=grid, beta=grid, clip=(0, 1)).values

    def points() -> np.ndarray:
        found = np.empty((51, 51))
        with torch.no_grad():
            for row, b in enumerate(grid):
                for column, a in enumerate(grid):
                    found[row, column] = decision(model((x + a * u + b * v).float().clamp(0, 1)), y)
        return found

    return [Case("ours", ours, {"point by point": points}, lambda results: _close(results, 1e-4))]


def _close(results: dict[str, np.ndarray], most: float) -> dict:
    (rival,) = (key for key in results if key != "ours")
    apart = float(np.nanmax(np.abs(results["ours"] - results[rival])))
    if not apart <= most:
        raise UnequalError(f"ours and {rival} differ by {apart:.2g}; allowed is {most:g}")
    return {"largest_difference": apart}


# Hessians.


def hessians() -> list[Case]:
    """The Hessian of S at one image, entry by entry."""
    return [_hessian(method, exact=True) for method in METHODS]


def estimates() -> list[Case]:
    """Its Frobenius norm and largest eigenvalue."""
    return [_hessian(method, exact=False) for method in METHODS]


def _hessian(method: str, *, exact: bool) -> Case:
    model, (x, y) = softened(network(method), 10.0), _of(1)

    def theirs() -> Float[Tensor, "d d"]:
        found = torch.func.hessian(lambda z: decision(model(z[None]), y)[0])(x[0])
        return found.detach().reshape(x[0].numel(), -1)

    def ours() -> Float[Tensor, "d d"] | dict[str, float]:
        return (indicator.hessian if exact else tangents.estimates)(model, x[0], int(y))

    peers = {"torch.func": theirs if exact else lambda: summary(theirs())}
    compare = _relative if exact else _within
    return Case(method, ours, peers, lambda results: compare(results["ours"], results["torch.func"]))


def summary(H: Float[Tensor, "d d"]) -> dict[str, float]:
    """What is estimated, of a Hessian that is there."""
    return {"l2": float(H.norm()), "top": float(torch.linalg.eigvalsh(H).abs().max())}


def _relative(found: Tensor, expected: Tensor) -> dict:
    apart = float((found - expected).abs().max() / expected.abs().max())
    if not apart <= 1e-4:
        raise UnequalError(f"two Hessians differ by {apart:.2g} of the largest entry; allowed is 0.0001")
    return {"largest_difference": apart}


def _within(found: dict[str, float], expected: dict[str, float]) -> dict:
    apart = {name: abs(found[name] / value - 1) for name, value in expected.items()}
    if max(apart.values()) > 0.02:
        raise UnequalError(f"estimates are off by {apart}; allowed is 0.02")
    return {"relative_error": apart}


def _of(n: int) -> tuple[Tensor, Tensor]:
    split = images(n)
    return split.x, split.y


ROWS = (
    Row("bim", "BIM, 10 steps, 500 images, single precision", 1.5, 4, bims),
    Row("half", "The same, gradients in half precision", 1.5, 3, half_bims),
    Row("worst", "Nine cells of Table 1, worst case, 500 images", 4.0, 2, tables),
    Row("strong", f"Strong worst case, {STRONG_IMAGES} images", 3.0, 0, strongest),
    Row("parameter_surface", "Parameter surface, 11 × 11 points, 512 images", 1.5, 3, parameter_surfaces),
    Row("input_surface", "Input surface, 51 × 51 points, one image", 6.0, 7, input_surfaces),
    Row("hessian", "Hessian of S, 784 × 784, softplus copy", 5.0, 5, hessians),
    Row("estimates", "Its norm and largest eigenvalue, within 2 %", 20.0, 5, estimates),
)
