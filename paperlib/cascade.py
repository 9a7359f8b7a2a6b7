"""The worst case: an ordered cascade of attacks, cheapest first, on the images that the former ones left.

An image counts as robust at a size only if no iterate of any attack at or below that size misclassifies it. The cascade is
``CASCADE``; it is held against AutoAttack (``paperlib.oracle``), of which it takes the adaptive step, the targets and Square
(Croce and Hein 2020; Andriushchenko et al. 2020).
"""

import hashlib
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from tqdm import tqdm

from paperlib import sealed
from paperlib.attack import attack
from paperlib.fingerprint import tensors_digest
from paperlib.objective import decision, margins, right
from paperlib.precision import PRECISIONS
from paperlib.refusal import check_choice, check_count, check_rising, reject
from paperlib.square import square
from paperlib.state import check_batch, evaluating

METHODS = ("pgd", "apgd", "square")


@dataclass(frozen=True)
class Stage:
    """One attack of the cascade.

    ``method``: ``pgd`` (steps of 2.5 eps / ``steps``), ``apgd`` (adaptive step from 2 eps on, momentum 0.25), or ``square``
    (``steps`` queries, no gradient). ``targets``: so many classes, the likeliest other ones first, each climbed toward by
    itself; 0 climbs without a target. ``nearest``: in blocks, those with the smallest margins found so far first, and no
    further than the first block that loses no image, for nearly all that still break are near the boundary. ``rounds``:
    rounds from other random starts, at most so many, until one breaks fewer than ``TOLERANCE``.
    """

    name: str
    method: str
    objective: str
    steps: int
    targets: int = 0
    nearest: bool = False
    rounds: int = 1


CASCADE = (
    Stage("pgd", "pgd", "cross_entropy", 20),
    Stage("apgd", "apgd", "cross_entropy", 50),
    Stage("apgd-t", "apgd", "cw", 100, targets=4, nearest=True),
    Stage("square", "square", "cw", 5000, nearest=True),
    Stage("restarts", "apgd", "cw", 100, targets=4, nearest=True, rounds=5),
)
# rounds from other random starts end with one that breaks fewer of all images (percent)
TOLERANCE = 0.2
# a block of the nearest images: a tenth of those left, and at least so many
FEWEST = 25
# smaller ones, where minutes count
LEVELS = {
    # as strong as the paper's three attacks taken together, in steps as few
    "short": (
        Stage("pgd", "pgd", "cross_entropy", 10), Stage("margin", "pgd", "cw", 10, nearest=True),
        Stage("apgd", "apgd", "cross_entropy", 20, nearest=True),
    ),
    "quick": (Stage("pgd", "pgd", "cross_entropy", 10), Stage("apgd-t", "apgd", "cw", 20, targets=3, nearest=True)),
    "standard": (
        Stage("pgd", "pgd", "cross_entropy", 20), Stage("apgd-t", "apgd", "cw", 50, targets=4, nearest=True),
        Stage("square", "square", "cw", 1000, nearest=True),
    ),
    "strong": CASCADE,
}  # fmt: skip


@dataclass(frozen=True)
class WorstCase:
    """What the cascade left, at every size.

    ``unbroken`` (e, n): whether an image is still classified rightly. ``broken_by`` (e, n): which of ``names`` broke it
    first, 0 for an image that is misclassified as it is, -1 for none. ``rounds``: how many rounds of restarts each size
    took, and ``last``: the share of all images (percent) that the last of them broke.
    """

    eps: list[float]
    unbroken: Bool[Tensor, "e n"]
    broken_by: Int[Tensor, "e n"]
    names: tuple[str, ...]
    rounds: list[int]
    last: list[float]


def worst_case(
    model: Callable, x: Float[Tensor, "n c h w"], y: Int[Tensor, "n"], *, eps: list[float],
    cascade: tuple[Stage, ...] = CASCADE, seed: int = 0, batch: int = 500, precision: str = "single",
    store: Path | None = None, of: str = "", progress: bool = False,
) -> WorstCase:  # fmt: skip
    """Which images no attack of ``cascade`` breaks within each of ``eps`` (rising, on the [0, 1] scale).

    A broken image leaves all later attacks at its size and above; the point with the smallest margin that was found at a
    size starts the first climb at the next. With ``store`` (a folder) the state after every climb is written down under a
    hash of images, settings and ``of`` (what the network and the code are), and an interrupted run goes on behind it. Random
    numbers come from ``seed`` and the place in the cascade, so neither batches nor interruptions change a result.
    ``precision`` is that of the gradients, as in ``paperlib.attack``: in half an image may be broken that in single is not,
    or the other way round, but what is called broken is misclassified in single precision.
    Raises ValueError with one sentence for a wrong argument.
    """
    check_batch(x, y)
    check_rising("eps", eps)
    check_count("batch", batch)
    check_count("seed", seed, least=0)
    check_choice("precision", precision, PRECISIONS)
    reject(len(x) == 0 or not cascade, "x or cascade is empty; allowed is at least one image and one stage")
    for stage in cascade:
        check_choice("method", stage.method, METHODS)
        check_count(f"steps of stage {stage.name}", stage.steps)
    run = _Run(model, x.detach(), y, list(eps), cascade, seed, batch, precision)
    with evaluating(model):
        run.begin(store, of)
        run.all(progress)
    return run.result()


class _Run:
    """A cascade on its way: what is broken, by what, and the smallest margins so far."""

    def __init__(self, model, x, y, eps, cascade, seed, batch, precision):
        self.model, self.x, self.y, self.eps, self.cascade, self.seed, self.batch = model, x, y, eps, cascade, seed, batch
        self.precision = precision
        self.enough = TOLERANCE / 100 * len(x)
        self.broken_by = torch.full((len(eps), len(x)), -1, dtype=torch.long)
        self.rounds, self.broke = np.zeros(len(eps), dtype=int), np.zeros(len(eps))
        self.near, self.done, self.part = x.clone(), 0, None

    def begin(self, store: Path | None, of: str) -> None:
        """The clean images, and what an interrupted run left."""
        Z = torch.cat([self.model(x).detach() for x in self.x.split(self.batch)])
        self.broken_by[:, ~right(Z, self.y).cpu()] = 0
        self.margin = decision(Z, self.y).to(self.x.dtype)
        others = Z.scatter(1, self.y[:, None], -torch.inf)
        self.ranked = others.argsort(dim=1, descending=True)[:, : Z.shape[1] - 1]
        if store is not None:
            self.part = Path(store) / f"worst-{self._key(Z, of)}.npz"
            self._read()

    def all(self, progress: bool) -> None:
        """Every climb that is still to do, in order."""
        plan = [(e, stage, turn) for e in range(len(self.eps)) for stage in self.cascade for turn in range(stage.rounds)]
        bar = tqdm(disable=not progress, desc="worst case", unit="image-step", unit_scale=True)
        for place, (e, stage, turn) in enumerate(plan):
            left = self._left(e)
            bar.total = bar.n + int(len(left) * sum(_cost(later) for _, later, again in plan[place:] if not again))
            # a stage's further rounds end with the first one that breaks too few
            over = turn > 0 and self.broke[e] < self.enough
            if place < self.done or over or len(left) == 0:
                continue
            self._stage(e, stage, turn, left)
            bar.update(int(len(left) * _cost(stage)))
            self.done = place + 1
            self._write()
        bar.close()

    def _stage(self, e: int, stage: Stage, turn: int, left: Tensor) -> None:
        size = max(FEWEST, math.ceil(len(left) / 10)) if stage.nearest else len(left)
        nearest = left[self.margin[left].argsort(stable=True)] if stage.nearest else left
        for number, block in enumerate(nearest.split(size)):
            if not self._block(e, stage, f"{turn} {number}", block):
                break
        if stage.rounds > 1:
            self.rounds[e], self.broke[e] = turn + 1, len(left) - len(self._left(e))

    def _block(self, e: int, stage: Stage, words: str, index: Tensor) -> int:
        """Every climb of a stage on some images; how many of them it broke."""
        before, code = len(index), 1 + [each.name for each in self.cascade].index(stage.name)
        for k in range(max(1, min(stage.targets, self.ranked.shape[1]))):
            if len(index) == 0:
                break
            target = self.ranked[index, k] if stage.targets else None
            # the first climb of a size begins where the former size ended
            warm = e > 0 and k == 0 and stage is self._first_adaptive()
            found, wrong = self._climb(e, stage, f"{words} {k}", index, target, warm)
            self.broken_by[e:, index[wrong].cpu()] = code
            index, found = index[~wrong], found[~wrong]
            self._remember(index, found)
        return before - len(index)

    def _first_adaptive(self) -> Stage | None:
        return next((stage for stage in self.cascade if stage.method == "apgd"), None)

    def _climb(self, e: int, stage: Stage, words: str, index: Tensor, target: Tensor | None, warm: bool):
        x, y, eps = self.x[index], self.y[index], self.eps[e]
        place = hashlib.sha256(f"{self.seed} {e} {stage.name} {words}".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(place[:7]))
        common = {"eps": eps, "batch": self.batch, "generator": generator}
        if stage.method == "square":
            found = square(self.model, x, y, queries=stage.steps, **common)
            return found.x, found.success
        adaptive = stage.method == "apgd"
        found = attack(
            self.model, x, y, steps=stage.steps, step_size=2 * eps if adaptive else 2.5 * eps / stage.steps,
            objective=stage.objective, target=target, start=self.near[index] if warm else None,
            random_start=not warm, adaptive=adaptive, momentum=0.25 if adaptive else 0.0, stop_at_success=True,
            precision=self.precision, **common,
        )  # fmt: skip
        return found.x, found.success

    def _remember(self, index: Tensor, found: Tensor) -> None:
        """Keep the points nearest to the boundary, as starts for the next size."""
        margin = margins(self.model, found, self.y[index], batch=self.batch).to(self.margin.dtype)
        nearer = margin < self.margin[index]
        self.near[index[nearer]], self.margin[index[nearer]] = found[nearer], margin[nearer]

    def _left(self, e: int) -> Tensor:
        return (self.broken_by[e] == -1).nonzero()[:, 0].to(self.x.device)

    def result(self) -> WorstCase:
        """What there is now."""
        names = ("clean", *(stage.name for stage in self.cascade))
        last = [100 * float(broke) / len(self.x) for broke in self.broke]
        return WorstCase(self.eps, self.broken_by == -1, self.broken_by, names, self.rounds.tolist(), last)

    def _key(self, Z: Tensor, of: str) -> str:
        stages = [asdict(stage) for stage in self.cascade]
        words = [self.eps, stages, self.enough, self.seed, of]
        # parts that single precision left are found as before
        words += [] if self.precision == "single" else [self.precision]
        return tensors_digest(words, self.x, self.y, Z.argmax(1))[:16]

    def _read(self) -> None:
        try:
            kept = sealed.read_arrays(self.part)
        except sealed.DamagedError:
            return  # lost or damaged: it begins anew
        self.done, self.rounds, self.broke = int(kept["done"]), kept["rounds"], kept["broke"]
        self.broken_by = torch.from_numpy(kept["broken_by"])
        self.near = torch.from_numpy(kept["near"]).to(self.x.device)
        self.margin = torch.from_numpy(kept["margin"]).to(self.x.device)

    def _write(self) -> None:
        if self.part is None:
            return
        sealed.write_arrays(
            self.part, done=self.done, rounds=self.rounds, broke=self.broke, broken_by=self.broken_by.numpy(),
            near=self.near.cpu().numpy(), margin=self.margin.cpu().numpy(),
        )  # fmt: skip


def _cost(stage: Stage) -> float:
    """Steps an image left, at most: a query without a gradient is about a third of a step."""
    return stage.steps / 3 if stage.method == "square" else stage.steps * max(1, stage.targets)
