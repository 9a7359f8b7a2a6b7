"""Training: a frozen ``Recipe``, and ``fit``, which flattens S in input space (Eq. 11 and 12) or does what rivals do.

Every method is a loss of one batch; a run is resumable from its last finished epoch and ends with the same weights as
an uninterrupted one, because all its random numbers come from (seed, epoch).
"""

import io
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, fields, replace
from itertools import cycle, islice
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.func import functional_call
from tqdm import tqdm

from paperlib import model as networks
from paperlib import sealed
from paperlib.attack import attack
from paperlib.convolution import FastDoubleBackward
from paperlib.data import Dataset, Split
from paperlib.objective import cross_entropy, decision
from paperlib.state import InputError, evaluating, input_gradient, reject

METHODS = ("natural", "ours", "crossentropy", "advtrain", "ours+advtrain", "minmax")
NORMS = ("1", "2", "inf", "squared")


@dataclass(frozen=True)
class Recipe:
    """Everything that determines a network's weights.

    ``c`` is the strength of the penalty: Eq. 11's c for ``ours``, Ross and Doshi-Velez's lambda for ``crossentropy``; it
    multiplies the batch mean of one image's ``|grad|_p`` on [0, 1] inputs (``p``: 1, 2, inf, or ``squared`` for
    ``|.|_2^2``), and grows linearly from 0 during the first ``warmup`` epochs. ``eps``, ``step_size`` and ``steps`` set
    the adversarial examples of training and of the progress bar, in the data's unit (``pixel_scale``); ``eps`` too grows
    from 0, during ``eps_warmup`` epochs. ``keep`` names the epoch whose weights are kept: the ``last``, or the ``best``
    under the progress bar's attack on held-out images (early stopping; Rice et al. 2020). ``source`` names a network of
    ``experiments.yml`` against which AdvTrain makes its examples once, before training; without it the network in training
    meets examples of its own. Raises ValueError, naming the field, its value and what is allowed.
    """

    data: str
    network: str
    method: str
    width: int
    epochs: int
    eps: float
    step_size: float
    fc: int = 256
    activation: str = "relu"
    beta: float = 10.0
    steps: int = 10
    c: float = 0.0
    p: str | int = "1"
    warmup: float = 0.0
    eps_warmup: float = 0.0
    batch: int = 100
    optimizer: str = "adam"
    lr: float = 2e-3
    weight_decay: float = 0.0
    augment: bool = False
    average: float = 0.0
    keep: str = "last"
    precision: str = "fp32"
    channels_last: bool = False
    train_n: int | None = None
    source: str = ""
    seed: int = 0

    def __post_init__(self):
        object.__setattr__(self, "p", str(self.p))  # YAML reads 1 and 2 as numbers
        allowed = {
            "network": networks.NETWORKS, "method": METHODS, "activation": networks.ACTIVATIONS, "p": NORMS,
            "optimizer": ("adam", "sgd"), "precision": ("fp32", "bf16"), "keep": ("last", "best"),
        }  # fmt: skip
        for name, values in allowed.items():
            value = getattr(self, name)
            reject(value not in values, f"{name} is {value!r}; allowed are {', '.join(values)}")
        for name in ("width", "fc", "epochs", "batch", "steps"):
            value = getattr(self, name)
            reject(not _integer(value) or value < 1, f"{name} is {value!r}; allowed is an integer of at least 1")
        for name in ("c", "warmup", "eps_warmup", "eps", "weight_decay"):
            value = getattr(self, name)
            reject(not _number(value) or value < 0, f"{name} is {value!r}; allowed is a number of at least 0")
        for name in ("lr", "step_size", "beta"):
            value = getattr(self, name)
            reject(not _number(value) or value <= 0, f"{name} is {value!r}; allowed is a positive number")
        for name in ("augment", "channels_last"):
            value = getattr(self, name)
            reject(not isinstance(value, bool), f"{name} is {value!r}; allowed are true and false")
        reject(not isinstance(self.data, str), f"data is {self.data!r}; allowed is a name such as digits")
        reject(not _integer(self.seed) or self.seed < 0, f"seed is {self.seed!r}; allowed is an integer of at least 0")
        some = self.train_n is None or (_integer(self.train_n) and self.train_n > 0)
        reject(not some, f"train_n is {self.train_n!r}; allowed is an integer of at least 1, or nothing for all images")
        reject(not isinstance(self.source, str), f"source is {self.source!r}; allowed is a name such as mnist-natural")
        unfit = bool(self.source) and self.method != "advtrain"
        reject(unfit, f"source is {self.source!r} with method {self.method!r}; allowed is a source with method 'advtrain'")
        fraction = _number(self.average) and 0 <= self.average < 1
        reject(not fraction, f"average is {self.average!r}; allowed is a number in [0, 1)")
        penalised = self.method in ("ours", "crossentropy", "ours+advtrain")
        reject(penalised and self.c == 0, f"c is 0 with method {self.method!r}; allowed is a positive number")

    @classmethod
    def of(cls, settings: dict) -> "Recipe":
        """From a mapping such as a card's or a YAML file's; ValueError names an unknown or missing field."""
        known = {field.name for field in fields(cls)}
        unknown = sorted(set(settings) - known)
        reject(bool(unknown), f"recipe field {', '.join(unknown)} is unknown; allowed are {', '.join(sorted(known))}")
        try:
            return cls(**settings)
        except TypeError as error:
            raise InputError(f"recipe is incomplete: {error}") from error

    def to_dict(self) -> dict:
        """The fields as plain values."""
        return asdict(self)


def _integer(value) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(value) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


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


# The loss of one batch, method by method.


def penalty(gradient: Float[Tensor, "n ..."], p: str) -> Float[Tensor, ""]:
    """Batch mean of ``|gradient|_p``, one norm per image (Eq. 11); ``squared`` is ``|.|_2^2``, smooth at 0."""
    flat = gradient.flatten(1)
    if p == "squared":
        return flat.square().sum(1).mean()
    # the l2 norm has no derivative at 0: a tiny floor under the root keeps training finite
    if p == "2":
        return (flat.square().sum(1) + 1e-12).sqrt().mean()
    return torch.linalg.vector_norm(flat, ord=float(p), dim=1).mean()


def batch_loss(
    model: nn.Module, x: Float[Tensor, "n c h w"], y: Int[Tensor, "n"], recipe: Recipe, *,
    c: float, eps: float, step_size: float, generator: torch.Generator | None = None,
) -> Float[Tensor, ""]:  # fmt: skip
    """The loss that one step descends; ``eps`` and ``step_size`` on the [0, 1] scale, ``c`` after warm-up.

    Natural: cross-entropy. Ours: ``+ c |grad S|_p`` (Eq. 11). CrossEntropy: ``+ c |grad CE|_p`` (Ross and Doshi-Velez 2018).
    AdvTrain: the mean over clean and C&W examples (Kurakin et al. 2016; A.3), which a recipe with a ``source`` has among
    ``x``. Ours+AdvTrain: the mean of Ours and the loss of such examples, hence half the penalty. MinMax: PGD examples alone
    (Madry et al. 2018). Examples are made with BatchNorm frozen, penalties as ``penalised`` says: no image's gradient sees
    its neighbours.
    """
    if recipe.method == "minmax":
        return cross_entropy(model(examples(model, x, y, recipe, eps, step_size, generator)), y).mean()
    if recipe.method == "advtrain" and not recipe.source:
        x_adv = examples(model, x, y, recipe, eps, step_size, generator)
        return cross_entropy(model(torch.cat([x, x_adv])), torch.cat([y, y])).mean()
    if recipe.method == "ours+advtrain":
        x_adv = examples(model, x, y, recipe, eps, step_size, generator)
        loss, _ = penalised(model, x, y, decision, recipe.p, c)
        return (loss + cross_entropy(model(x_adv), y).mean()) / 2
    if recipe.method in ("natural", "advtrain") or c == 0:
        return cross_entropy(model(x), y).mean()
    function = decision if recipe.method == "ours" else cross_entropy
    return penalised(model, x, y, function, recipe.p, c)[0]


def penalised(model: nn.Module, x, y, function: Callable, p: str, c: float) -> tuple[Tensor, Tensor]:
    """Cross-entropy + c * penalty by double backpropagation (Eq. 11 and 12), and the penalty alone.

    Without BatchNorm one forward pass serves both. In train mode with BatchNorm the penalty has a pass of its own, with
    the statistics of the first as functions of the weights but not of the images: no image's gradient sees its neighbours,
    and, as in the cross-entropy, no scale of the weights before a BatchNorm changes anything. Statistics frozen at their
    running means fail at the latter: shrinking such weights would please the penalty without flattening the network.
    """
    if model.training and has_batchnorm(model):
        with batch_statistics(model) as statistics:
            logits = [_wide(model(x))]
    else:
        statistics, logits = {}, []

    def values(z: Tensor) -> Tensor:
        logits.append(_wide(functional_call(model, statistics, (z,))))
        return function(logits[-1], y)

    with evaluating(model) if statistics else nullcontext(), FastDoubleBackward():
        _, gradient = input_gradient(values, x, create_graph=True)
    size = penalty(_wide(gradient), p)
    return cross_entropy(logits[0], y).mean() + c * size, size


@contextmanager
def batch_statistics(model: nn.Module) -> Iterator[dict[str, Tensor]]:
    """What every BatchNorm of ``model`` normalises by (Ioffe and Szegedy 2015), from the batch that passes in the block.

    Under its buffers' names, ``running_mean`` and ``running_var``, a mean and a biased variance of shape ``(c,)`` each,
    differentiable once.
    """
    statistics: dict[str, Tensor] = {}

    def keep(name: str, h: Tensor) -> None:
        statistics[f"{name}.running_mean"], statistics[f"{name}.running_var"] = _Moments.apply(h)

    hooks = [
        module.register_forward_pre_hook(lambda _, inputs, name=name: keep(name, *inputs))
        for name, module in model.named_modules() if isinstance(module, nn.BatchNorm2d)
    ]  # fmt: skip
    try:
        yield statistics
    finally:
        for hook in hooks:
            hook.remove()


def _wide(tensor: Tensor) -> Tensor:
    """At least single precision."""
    return tensor.float() if tensor.dtype == torch.bfloat16 else tensor


class _Moments(torch.autograd.Function):
    """Mean and biased variance of every channel; torch's own chain of operations takes a fifth of a training step more."""

    @staticmethod
    def forward(ctx, h: Float[Tensor, "n c h w"]) -> tuple[Float[Tensor, "c"], Float[Tensor, "c"]]:
        wide = _wide(h)
        mean = wide.mean((0, 2, 3))
        ctx.save_for_backward(h, mean)
        # rounding must not make a constant channel's variance negative
        return mean, (wide.square().mean((0, 2, 3)) - mean.square()).clamp_min(0)

    @staticmethod
    @once_differentiable
    def backward(ctx, of_mean: Float[Tensor, "c"], of_variance: Float[Tensor, "c"]) -> Float[Tensor, "n c h w"]:
        h, mean = ctx.saved_tensors
        n = h.numel() // len(mean)
        slope = 2 * of_variance / n
        start = of_mean / n - slope * mean
        slope, start = (part.view(-1, 1, 1).to(h.dtype) for part in (slope, start))
        return torch.addcmul(start, h, slope)


def has_batchnorm(model: nn.Module) -> bool:
    """Whether a layer mixes the images of a batch in train mode."""
    return any(isinstance(module, nn.BatchNorm2d) for module in model.modules())


def examples(model, x, y, recipe: Recipe, eps: float, step_size: float, generator) -> Float[Tensor, "n c h w"]:
    """Adversarial training examples: PGD from a random start for MinMax, C&W from the image otherwise (A.3)."""
    minmax = recipe.method == "minmax"
    objective = "cross_entropy" if minmax else "cw"
    return attack(
        model, x, y, eps=eps, steps=recipe.steps, step_size=step_size, objective=objective, random_start=minmax,
        batch=len(x), generator=generator,
    ).x  # fmt: skip


def with_examples(split: Split, source: nn.Module, recipe: Recipe, dataset: Dataset, device: str) -> Split:
    """The images ``(n, c, h, w)``, and after them ``n`` adversarial ones made against ``source`` (A.3), with their labels.

    ``eps`` and ``step_size`` are the recipe's.
    """
    source, eps, step_size = source.to(device), dataset.to_input(recipe.eps), dataset.to_input(recipe.step_size)
    made = [
        examples(source, x.to(device), y.to(device), recipe, eps, step_size, None)
        for x, y in zip(split.x.split(100), split.y.split(100), strict=True)
    ]
    return Split(torch.cat([split.x, torch.cat(made).to(split.x.device)]), torch.cat([split.y, split.y]))


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
    """Train the recipe's network on ``dataset.train``, and on adversarial examples of it against ``source`` if the recipe
    names one; returns it in eval mode with its curve, one dict an epoch (``loss``, ``clean`` and ``adversarial`` accuracy in
    percent on held-out images, ``seconds``, ``lr``).

    After each epoch everything needed to go on is written to ``state_file``, and a later call with the same recipe goes
    on from it. Raises OutOfTime when the next epoch would not fit into ``budget`` seconds; ValueError for a state file
    of another recipe or data set.
    """
    started = time.monotonic()
    reject(bool(recipe.source) != (source is not None), f"source is {'a' if source else 'no'} network and the recipe names "
           f"{recipe.source or 'none'}; allowed is a network where the recipe names one")  # fmt: skip
    split = dataset.train.first(recipe.train_n)
    if source is not None:
        split = with_examples(split, source, recipe, dataset, device)
    run = _begun(recipe, dataset, len(split), device)
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
        reject(not _integer(value) or value < 1, f"{name} is {value!r}; allowed is an integer of at least 1")
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


def _begun(recipe: Recipe, dataset: Dataset, n: int, device: str) -> "_Run":
    """A training of ``n`` images before its first step."""
    model = untrained(recipe, dataset).to(device)
    if recipe.channels_last:
        model = model.to(memory_format=torch.channels_last)
    return _Run(recipe, dataset, model, n)


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
        with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=recipe.precision == "bf16"):
            loss = batch_loss(
                self.model, x, y, recipe, c=recipe.c * grown["c"],
                eps=self.dataset.to_input(recipe.eps) * grown["eps"],
                step_size=self.dataset.to_input(recipe.step_size), generator=generator,
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
    return torch.optim.SGD(
        model.parameters(), lr=recipe.lr, momentum=0.9, nesterov=True, weight_decay=recipe.weight_decay
    )


def save_state(state: dict, path: Path) -> None:
    """Writes down what a training goes on from, with its hash, in one piece."""
    stream = io.BytesIO()
    torch.save(state, stream)
    sealed.write(path, stream.getvalue())


def load_state(path: Path, *, device: str = "cpu") -> dict:
    """What ``save_state`` wrote. Raises DamagedError, naming the file, for anything else."""
    return torch.load(io.BytesIO(sealed.read(path)), map_location=device, weights_only=True)
