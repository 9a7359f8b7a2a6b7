"""Training: a recipe, and images, become a network; a run goes on where it stopped.

A run is resumable from its last finished epoch and ends with the same weights as an uninterrupted one, because all its
random numbers come from (seed, epoch). What a step descends is in ``paperlib.losses``.
"""

import io
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import cycle, islice
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from tqdm import tqdm

from paperlib import model as networks
from paperlib import sealed
from paperlib.attack import attack
from paperlib.data import Dataset, Split
from paperlib.losses import batch_loss, with_examples
from paperlib.recipe import METHODS, Recipe
from paperlib.refusal import check_count, is_number, reject
from paperlib.state import evaluating

# what a state must hold to be gone on from
STATE = ("recipe", "data", "epoch", "curve", "model", "optimizer", "schedule")


def untrained(recipe: Recipe, dataset: Dataset) -> nn.Module:
    """The recipe's network with its initial weights; the caller's global random state is left as it was."""
    x = dataset.train.x
    std = x.std((0, 2, 3))
    std = std.where(std > 1e-6, 1.0)  # a channel that is constant is only centred
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        return networks.build(
            recipe.network, width=recipe.width, fc=recipe.fc, activation=recipe.activation, beta=recipe.beta,
            shape=dataset.shape, classes=dataset.classes, mean=x.mean((0, 2, 3)), std=std,
        )  # fmt: skip


def augmented(x: Float[Tensor, "n c h w"], generator: torch.Generator) -> Float[Tensor, "n c h w"]:
    """Random crops after padding by 4 and random horizontal flips, one draw an image."""
    n, _, height, width = x.shape
    padded = F.pad(x, (4, 4, 4, 4))
    top, left = torch.randint(0, 9, (2, n, 1, 1), generator=generator).to(x.device)
    rows = top + torch.arange(height, device=x.device).view(1, -1, 1)
    columns = left + torch.arange(width, device=x.device).view(1, 1, -1)
    flip = (torch.rand(n, 1, 1, generator=generator) < 0.5).to(x.device)
    columns = torch.where(flip, columns.flip(2), columns)
    return padded[torch.arange(n, device=x.device).view(-1, 1, 1), :, rows, columns].permute(0, 3, 1, 2).contiguous()


# The loop.


@dataclass(frozen=True)
class Trained:
    """A network in eval mode with what made it."""

    name: str
    model: nn.Module
    recipe: Recipe
    dataset: Dataset
    card: dict

    @property
    def sha256(self) -> str:
        """Of the checkpoint file."""
        return self.card["sha256"]


class OutOfTime(Exception):
    """The wall-clock budget ended before the last epoch; the state on disk goes on from there."""


def fit(
    recipe: Recipe, dataset: Dataset, *, state_file: Path | None = None, budget: float | None = None,
    device: str = "cpu", progress: bool = True, name: str = "", watch_n: int = 200, source: nn.Module | None = None,
) -> tuple[nn.Module, list[dict]]:  # fmt: skip
    """Train the recipe's network on ``dataset.train``, with ``source`` if the recipe names one: on adversarial examples
    against it as well, or from its weights; returns it in eval mode with its curve, one dict an epoch (``loss``, ``clean``
    and ``adversarial`` accuracy in percent on held-out images, ``seconds``, ``lr``).

    After each epoch everything needed to go on is written to ``state_file``, and a later call with the same recipe goes
    on from it. Raises OutOfTime when the next epoch would not fit into ``budget`` seconds; ValueError for a state file
    of another recipe or data set.
    """
    started = time.monotonic()
    check_count("watch_n", watch_n)
    # seconds without end are as good as none
    limited = budget is None or budget == math.inf or is_number(budget)
    reject(not limited, f"budget is {budget!r}; allowed is a number of seconds")
    fits = dataset.name in (recipe.data, Path(recipe.data).stem)
    reject(not fits, f"dataset is {dataset.name!r}; allowed is that of the recipe, {recipe.data!r}")
    reject(bool(recipe.source) != (source is not None), f"source is {'a' if source else 'no'} network and the recipe names "
           f"{recipe.source or 'none'}; allowed is a network where the recipe names one")  # fmt: skip
    split = dataset.train.first(recipe.train_n)
    starts = source is not None and METHODS[recipe.method].source == "starts"
    if source is not None and not starts:
        split = with_examples(split, source, recipe, dataset, device)
    run = _begun(recipe, dataset, len(split), device, source if starts else None)
    # choosing an epoch takes more images than watching progress
    watch_n = max(watch_n, 1000) if recipe.keep == "best" else watch_n
    if state_file is not None and Path(state_file).exists():
        run.restore(load_state(state_file, device=device), state_file)
    # the images live on the device: a GPU would otherwise wait for the bus
    split = Split(split.x.to(device), split.y.to(device))
    while run.epoch < recipe.epochs:
        longest = max((row["seconds"] for row in run.curve[-2:]), default=0.0)
        if budget is not None and time.monotonic() - started + longest > budget and (run.epoch or budget <= 0):
            raise OutOfTime(f"{name or 'training'} stopped after epoch {run.epoch} of {recipe.epochs}: budget spent")
        run.train_epoch(split, device, progress, name, watch_n)
        if state_file is not None:
            save_state(run.state(), Path(state_file))
    return run.kept().eval(), run.curve


def epoch_seconds(
    recipes: Mapping[str, Recipe], dataset: Dataset, *, rounds: int, batches: int, device: str = "cpu"
) -> dict[str, list[float]]:
    """Seconds that an epoch of each recipe takes, one number a round, extrapolated from ``batches`` batches.

    In every round each recipe has its turn, so that what slows the machine slows all of them. A turn begins with a
    batch that is not counted; penalty and eps have their full size; only training steps are timed. Raises ValueError
    for fewer than one round or batch.
    """
    for name, value in (("rounds", rounds), ("batches", batches)):
        check_count(name, value)
    seconds: dict[str, list[float]] = {name: [] for name in recipes}
    for _ in range(rounds):
        for name, recipe in recipes.items():
            seconds[name].append(_turn(recipe, dataset, batches, device))
    return seconds


def _turn(recipe: Recipe, dataset: Dataset, batches: int, device: str) -> float:
    """Seconds of an epoch, from ``batches`` batches after one that warms up."""
    split = dataset.train.first(recipe.train_n)
    # a schedule that is long enough, however many batches are timed
    run = _begun(replace(recipe, epochs=batches + 1), dataset, len(split), device)
    run.model.train()
    generator = torch.Generator().manual_seed(recipe.seed)
    order = torch.randperm(len(split), generator=generator).split(recipe.batch)
    seconds, images = 0.0, 0
    for k, index in enumerate(islice(cycle(order), batches + 1)):
        x, y = split.x[index].to(device), split.y[index].to(device)
        began = _now(device)
        x = augmented(x, generator) if recipe.augment else x
        run._step(x, y, math.inf, generator, device)
        if k:
            seconds, images = seconds + _now(device) - began, images + len(index)
    return seconds / images * len(split)


def _now(device: str) -> float:
    """The clock, once the device has done what it was told."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def _begun(recipe: Recipe, dataset: Dataset, n: int, device: str, start: nn.Module | None = None) -> "_Run":
    """A training of ``n`` images before its first step, with random weights or those of ``start``."""
    model = untrained(recipe, dataset).to(device)
    if start is not None:
        _take_weights(model, start, recipe.source)
    if recipe.channels_last:
        model = model.to(memory_format=torch.channels_last)
    return _Run(recipe, dataset, model, n)


def _take_weights(model: nn.Module, start: nn.Module, name: str) -> None:
    shapes = [{key: tuple(tensor.shape) for key, tensor in each.state_dict().items()} for each in (model, start)]
    reject(shapes[0] != shapes[1], f"source is {name!r}, a network of other layers; allowed is one of the same")
    model.load_state_dict(start.state_dict())


class _Run:
    """What a training consists of between two epochs."""

    def __init__(self, recipe: Recipe, dataset: Dataset, model: nn.Module, n: int):
        self.recipe, self.dataset, self.model = recipe, dataset, model
        self.epoch, self.curve, self.best = 0, [], None
        self.steps = math.ceil(n / recipe.batch)
        self.optimizer = _optimizer(recipe, model)
        total = self.steps * recipe.epochs + 1
        # the rise takes at least one step, or the schedule of a very short training divides by zero
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer, max_lr=recipe.lr, total_steps=total, pct_start=max(0.2, 2 / total), cycle_momentum=False
        )
        self.average = None
        if recipe.average:
            self.average = torch.optim.swa_utils.AveragedModel(
                model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(recipe.average), use_buffers=True
            )

    def averaged(self) -> nn.Module:
        """The network that is kept: the running mean of the weights if the recipe asks for one."""
        return self.model if self.average is None else self.average.module

    def kept(self) -> nn.Module:
        """The network that ``fit`` returns: of the last epoch, or of the one that held-out images found best."""
        model = self.averaged()
        if self.best is not None:
            model.load_state_dict(self.best)
        return model

    def state(self) -> dict:
        return {
            "recipe": self.recipe.to_dict(), "data": self.dataset.sha256, "epoch": self.epoch, "curve": self.curve,
            "model": self.model.state_dict(), "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "average": None if self.average is None else self.average.state_dict(), "best": self.best,
        }  # fmt: skip

    def restore(self, state: dict, where) -> None:
        reject(Recipe.of(state["recipe"]) != self.recipe, f"state file {where} belongs to another recipe; remove it")
        reject(state["data"] != self.dataset.sha256, f"state file {where} was made with other data; remove it")
        fits = state["epoch"] == len(state["curve"]) <= self.recipe.epochs
        reject(not fits, f"state file {where} tells of {len(state['curve'])} epochs and names {state['epoch']}; remove it")
        self.epoch, self.curve, self.best = state["epoch"], state["curve"], state.get("best")
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])

    def train_epoch(self, split: Split, device: str, progress: bool, name: str, watch_n: int) -> None:
        recipe, began = self.recipe, time.perf_counter()
        generator = torch.Generator().manual_seed(recipe.seed * 100_003 + self.epoch)
        order = torch.randperm(len(split), generator=generator).to(device)
        self.model.train()
        bar = tqdm(
            order.split(recipe.batch), disable=not progress, leave=False,
            desc=f"{name or recipe.method} {self.epoch + 1}/{recipe.epochs}",
        )  # fmt: skip
        total = torch.zeros((), device=device)
        for k, index in enumerate(bar):
            x, y = split.x[index], split.y[index]
            x = augmented(x, generator) if recipe.augment else x
            loss = self._step(x, y, self.epoch + k / self.steps, generator, device)
            total += loss * len(index)
            if progress and k % 20 == 0:
                last = self.curve[-1] if self.curve else {}
                shown = {key: f"{last[key]:.1f}" for key in ("clean", "adversarial") if key in last}
                bar.set_postfix(loss=f"{float(loss):.3f}", **shown)
        row = {"loss": float(total) / len(split), "lr": self.schedule.get_last_lr()[0]}
        row["seconds"] = time.perf_counter() - began
        self.curve.append(row | self._watch(device, watch_n))
        if recipe.keep == "best" and self.curve[-1]["adversarial"] >= max(row["adversarial"] for row in self.curve):
            self.best = {key: tensor.clone() for key, tensor in self.averaged().state_dict().items()}
        self.epoch += 1
        if not math.isfinite(row["loss"]):
            raise FloatingPointError(f"{name or recipe.method}: the loss is {row['loss']} in epoch {self.epoch}; "
                                     "lower lr or c")  # fmt: skip

    def _step(self, x, y, at: float, generator, device: str) -> Tensor:
        recipe = self.recipe
        x = x.contiguous(memory_format=torch.channels_last) if recipe.channels_last else x
        grown = {name: min(1.0, at / length) if length else 1.0
                 for name, length in (("c", recipe.warmup), ("eps", recipe.eps_warmup))}  # fmt: skip
        to_input = self.dataset.to_input
        with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=recipe.precision == "bf16"):
            loss = batch_loss(
                self.model, x, y, recipe, c=recipe.c * grown["c"], curvature=recipe.curvature * grown["c"],
                eps=to_input(recipe.eps) * grown["eps"], step_size=to_input(recipe.step_size), h=to_input(recipe.h),
                generator=generator,
            )  # fmt: skip
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self.schedule.step()
        if self.average is not None:
            self.average.update_parameters(self.model)
        return loss.detach()

    def _watch(self, device: str, n: int) -> dict:
        """Clean and adversarial accuracy (10 steps at the recipe's eps) on the first held-out images, in percent."""
        held_out = self.dataset.validation.first(min(n, len(self.dataset.validation)))
        x, y = held_out.x.to(device), held_out.y.to(device)
        model, eps = self.averaged(), self.dataset.to_input(self.recipe.eps)
        with torch.no_grad(), evaluating(model):
            clean = (model(x).argmax(1) == y).double().mean()
        found = attack(model, x, y, eps=eps, steps=10, step_size=max(eps / 4, 1e-6), stop_at_success=True)
        return {"clean": 100 * float(clean), "adversarial": 100 * float((~found.success).double().mean())}


def _optimizer(recipe: Recipe, model: nn.Module) -> torch.optim.Optimizer:
    if recipe.optimizer == "adam":
        return torch.optim.AdamW(model.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay)
    return torch.optim.SGD(model.parameters(), lr=recipe.lr, momentum=0.9, nesterov=True, weight_decay=recipe.weight_decay)


def save_state(state: dict, path: Path) -> None:
    """Writes down what a training goes on from, with its hash, in one piece."""
    stream = io.BytesIO()
    torch.save(state, stream)
    sealed.write(path, stream.getvalue())


def load_state(path: Path, *, device: str = "cpu") -> dict:
    """What ``save_state`` wrote. Raises DamagedError, naming the file, for anything else."""
    content = sealed.read(path)
    try:
        state = torch.load(io.BytesIO(content), map_location=device, weights_only=True)
    except Exception as error:  # torch's reader raises whatever it stumbles over
        raise sealed.DamagedError(f"{path} is not what belongs there: it is no state of a training") from error
    if not (isinstance(state, dict) and set(STATE) <= set(state)):
        raise sealed.DamagedError(f"{path} is not what belongs there: it lacks {', '.join(STATE)} of a training")
    return state
