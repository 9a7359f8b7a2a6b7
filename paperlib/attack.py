"""One projected-gradient loop; FGSM, BIM, PGD, C&W and APGD are settings of it.

Follows Goodfellow et al. (2015), Kurakin et al. (2016), Madry et al. (2018), Croce and Hein (2020) and the C&W objective
inside the same loop, as in the paper's A.3. Sizes are on the [0, 1] scale. No call touches the caller's tensors, nor the
model's modes, gradients or BatchNorm statistics.
"""

import math
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from paperlib.objective import climbed, right
from paperlib.precision import PRECISIONS, half_precision
from paperlib.refusal import check_choice, check_count, check_positive, check_size, is_number, reject
from paperlib.state import check_batch, check_labels, check_like, evaluating, input_gradient
from paperlib.tracker import Tracker

NORMS = ("linf", "l2")


@dataclass(frozen=True)
class Adversarial:
    """What an attack found.

    ``x`` (n, c, h, w): the adversarial images. ``success`` (n,): whether ``x`` is misclassified.
    """

    x: Float[Tensor, "n c h w"]
    success: Bool[Tensor, "n"]


def attack(
    model: Callable,
    x: Float[Tensor, "n c h w"],
    y: Int[Tensor, "n"],
    *,
    eps: float,
    steps: int,
    step_size: float,
    objective: str = "cross_entropy",
    target: Int[Tensor, "n"] | None = None,
    norm: str = "linf",
    start: Float[Tensor, "n c h w"] | None = None,
    random_start: bool = False,
    restarts: int = 1,
    adaptive: bool = False,
    momentum: float = 0.0,
    stop_at_success: bool = False,
    tracker: Tracker | None = None,
    batch: int = 500,
    precision: str = "single",
    generator: torch.Generator | None = None,
) -> Adversarial:
    """Climb an objective of Eq. 3 inside the ``eps``-ball around ``x`` and inside [0, 1].

    By default the last iterate is returned, as the paper's protocol does; with ``stop_at_success`` an example stays at
    its first misclassified iterate and leaves the loop. ``target`` names a class for each example to be moved into. The
    climb begins at ``x``, at a random point, or at ``start``, brought into the ball. ``adaptive`` halves the step where the
    climb stalls and goes on from the best iterate, which is what it returns; ``momentum`` is the share of the last move
    that is made again (Croce and Hein 2020: 0.25). Only examples that are still right are started again, and a later start
    replaces an earlier one where it misclassifies, or climbs higher. ``tracker`` sees every iterate. ``batch`` bounds the
    memory and changes no result. With ``precision`` ``half`` the gradients are taken in bfloat16, and with them the way that
    is climbed; every verdict is still one of the network as it is: whether an image is misclassified, the objective that
    decides between starts, and all that ``tracker`` sees. Raises ValueError with one sentence for a wrong argument.
    """
    check_batch(x, y)
    check_size("eps", eps)
    check_positive("step_size", step_size)
    for name, count in (("steps", steps), ("restarts", restarts), ("batch", batch)):
        check_count(name, count)
    check_choice("norm", norm, NORMS)
    reject(restarts > 1 and not random_start, f"restarts is {restarts} without random_start; allowed is 1")
    reject(start is not None and random_start, "start is given with random_start; allowed is one of them")
    if start is not None:
        check_like("start", start, x)
    if target is not None:
        check_labels(x, target, "target")
    reject(not (is_number(momentum) and 0 <= momentum < 1), f"momentum is {momentum!r}; allowed are 0 to less than 1")
    check_choice("precision", precision, PRECISIONS)
    half = precision == "half"
    climb = Climb(Ball(eps, norm), objective, steps, step_size, adaptive, momentum, stop_at_success, half)
    # a wrong name is refused before any work
    climbed(objective, torch.zeros(1, 9), torch.zeros(1).long(), None if target is None else torch.zeros(1).long())

    x = x.detach()
    best = torch.full((len(x),), -torch.inf, dtype=x.dtype, device=x.device)
    found = Adversarial(x.clone(), torch.zeros_like(y, dtype=torch.bool))
    with evaluating(model):
        for _ in range(restarts):
            # all random starts are drawn before batching, so that the batch size changes nothing
            begin = x + climb.ball.random(x, generator) if random_start else x if start is None else start.detach()
            todo = (~found.success).nonzero()[:, 0]
            for index in todo.split(batch) if len(todo) else ():
                goal = None if target is None else target[index]
                x_adv, value, wrong = climb(model, x[index], y[index], begin[index], goal, index, tracker)
                better = wrong | (value > best[index])
                chosen = index[better]
                found.x[chosen], best[chosen], found.success[chosen] = x_adv[better], value[better], wrong[better]
    return found


@dataclass(frozen=True)
class Ball:
    """The two places where the norm matters: the step along a gradient and the way back into the ball."""

    eps: float
    norm: str

    def step(self, gradient: Float[Tensor, "n c h w"], size: Float[Tensor, "n 1 1 1"] | float) -> Float[Tensor, "n c h w"]:
        """``size`` along the sign (l-infinity) or the normalised gradient (l2); a zero gradient stays put."""
        if self.norm == "linf":
            return size * gradient.sign()
        return size * (gradient / _l2(gradient).clamp_min(torch.finfo(gradient.dtype).tiny))

    def project(self, delta: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """The nearest point of the ball."""
        if self.norm == "linf":
            return delta.clamp(-self.eps, self.eps)
        return delta * (self.eps / _l2(delta).clamp_min(1e-12)).clamp(max=1)

    def inside(self, x: Float[Tensor, "n c h w"], point: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """``point`` brought into the ball around ``x`` and into [0, 1]."""
        return (x + self.project(point - x)).clamp(0, 1)

    def random(self, x: Float[Tensor, "n c h w"], generator: torch.Generator | None) -> Float[Tensor, "n c h w"]:
        """A uniform point of the ball; drawn on the CPU, so that a seed means the same on every device."""
        if self.norm == "linf":
            noise = torch.rand(x.shape, generator=generator, dtype=x.dtype) * 2 - 1
            return self.eps * noise.to(x.device)
        noise = torch.randn(x.shape, generator=generator, dtype=x.dtype)
        radius = torch.rand(len(x), 1, 1, 1, generator=generator, dtype=x.dtype) ** (1 / x.shape[1:].numel())
        return (self.eps * radius * noise / _l2(noise)).to(x.device)


def _l2(delta: Float[Tensor, "n c h w"]) -> Float[Tensor, "n 1 1 1"]:
    # in double precision: the square of a small gradient underflows in single
    return delta.flatten(1).double().norm(dim=1).to(delta.dtype).view(-1, 1, 1, 1)


@dataclass(frozen=True)
class Climb:
    """One start of the loop with all its settings."""

    ball: Ball
    objective: str
    steps: int
    step_size: float
    adaptive: bool
    momentum: float
    stop: bool
    half: bool = False

    def __call__(self, model, x, y, start, target, index, tracker):
        """The iterates kept, the objective there, and whether they are misclassified; ``index`` is for the tracker."""
        f = self._objective(model, x, y, target)
        current = self.ball.inside(x, start)
        last, active = current.clone(), torch.arange(len(x), device=x.device)
        value = torch.full((len(x),), -torch.inf, dtype=x.dtype, device=x.device)
        wrong = torch.zeros_like(y, dtype=torch.bool)
        pace = Pace(self.step_size, current, self.steps) if self.adaptive else None
        with half_precision(x.device, self.half) as own:
            for k in range(self.steps + 1):
                half = self.half and k < self.steps
                with nullcontext() if half else own():
                    Z, value[active], gradient = _evaluate(model, current[active], f, active, differentiate=k < self.steps)
                wrong[active] = ~right(Z, y[active])
                if half:
                    with own():
                        self._judge(model, current, y, f, active, value, wrong, tracker)
                if tracker is not None:
                    tracker.see(k, index[active], current[active], value[active], wrong[active])
                if pace:
                    pace.remember(active, current, value, wrong, gradient)
                going = ~wrong[active] if self.stop else torch.ones_like(active, dtype=torch.bool)
                active = active[going]
                if k == self.steps or len(active) == 0:
                    break
                here, slope, size = current[active], gradient[going], self.step_size
                if pace:
                    here, slope, size = pace.settle(k, active, here, slope)
                moved = self.ball.inside(x[active], here + self.ball.step(slope, size))
                if self.momentum and k > 0:
                    # a part of the last move again, as a heavy ball would
                    moved = here + (1 - self.momentum) * (moved - here) + self.momentum * (here - last[active])
                    moved = self.ball.inside(x[active], moved)
                last[active], current[active] = here, moved
            if pace and self.half:
                with own():
                    pace.judge(model, y, f)
        return (pace.best, pace.value, pace.wrong) if pace else (current, value, wrong)

    def _objective(self, model, x, y, target) -> Callable:
        """What is climbed, made of the clean logits where it depends on them and else of the first ones."""
        made: list[Callable] = []

        def f(Z: Tensor, index: Tensor) -> Tensor:
            if not made:
                made.append(climbed(self.objective, clean if clean is not None else Z, y, target))
            return made[0](Z, index)

        clean = None
        if self.objective == "least_likely":
            with torch.no_grad():
                clean = model(x)
        return f

    def _judge(self, model, current, y, f, active, value, wrong, tracker) -> None:
        """The verdicts of an iterate whose gradient was taken in half precision: all where somebody looks on, else those
        that say success."""
        asked = active if tracker is not None else active[wrong[active]] if self.stop or self.adaptive else active[:0]
        if len(asked):
            Z, value[asked], _ = _evaluate(model, current[asked], f, asked, differentiate=False)
            wrong[asked] = ~right(Z, y[asked])


class Pace:
    """The adaptive step of Croce and Hein (2020, Sec. 3): halved at checkpoints where a climb stalled, which then goes on
    from its best point."""

    def __init__(self, step_size: float, start: Float[Tensor, "n c h w"], steps: int):
        n = len(start)
        self.size = start.new_full((n, 1, 1, 1), step_size)
        self.best, self.slope = start.clone(), torch.zeros_like(start)
        self.value = start.new_full((n,), -torch.inf)
        self.wrong = torch.zeros(n, dtype=torch.bool, device=start.device)
        # since the last checkpoint: how often the value rose, whether the step was halved there, the best value then
        self.before, self.rises = self.value.clone(), start.new_zeros(n)
        self.halved, self.reached = torch.zeros_like(self.wrong), self.value.clone()
        self.checkpoints, self.checked = checkpoints(steps), 0

    def remember(self, active, current, value, wrong, gradient) -> None:
        """Keep what is better than the best so far: a misclassified iterate before one that is right, then the higher."""
        new = value[active]
        self.rises[active] += (new > self.before[active]) & self.before[active].isfinite()
        self.before[active] = new
        better = (wrong[active] & ~self.wrong[active]) | ((new > self.value[active]) & (wrong[active] | ~self.wrong[active]))
        chosen = active[better]
        self.best[chosen], self.value[chosen], self.wrong[chosen] = current[chosen], new[better], wrong[chosen]
        if gradient is not None:
            self.slope[chosen] = gradient[better]

    def judge(self, model, y, f) -> None:
        """Value and verdict of the best in the network's own precision, after a climb in half precision."""
        everyone = torch.arange(len(y), device=y.device)
        Z, self.value, _ = _evaluate(model, self.best, f, everyone, differentiate=False)
        self.wrong = ~right(Z, y)

    def settle(self, k: int, active, here, slope):
        """Where to go on from, along which gradient and how far; at a checkpoint a stalled climb goes back to its best."""
        if k in self.checkpoints:
            # too few rises, or neither a smaller step nor a new best since the last checkpoint
            few = self.rises[active] < 0.75 * (k - self.checked)
            stuck = ~self.halved[active] & (self.value[active] <= self.reached[active])
            stalled = few | stuck
            back = active[stalled]
            self.size[back] /= 2
            here, slope = here.clone(), slope.clone()
            here[stalled], slope[stalled] = self.best[back], self.slope[back]
            self.halved[active], self.reached[active] = stalled, self.value[active]
            self.rises[active], self.checked = 0, k
        return here, slope, self.size[active]


def checkpoints(steps: int) -> set[int]:
    """The steps after which an adaptive climb is judged: 22 % of them, then ever shorter intervals, of at least 6 %.

    >>> sorted(checkpoints(100))[:4]
    [22, 41, 57, 70]
    """
    check_count("steps", steps)
    places, length = [0.22], 0.22
    while places[-1] < 1:
        length = max(length - 0.03, 0.06)
        places.append(places[-1] + length)
    return {max(1, math.ceil(round(place * steps, 6))) for place in places if place < 1}


def _evaluate(model, x, f, index, *, differentiate: bool):
    """Logits, the climbed values and (where asked) their input gradient."""
    logits = []

    def values(batch: Tensor) -> Tensor:
        logits.append(model(batch))
        return f(logits[0], index)

    if differentiate:
        value, gradient = input_gradient(values, x)
    else:
        with torch.no_grad():
            value, gradient = values(x), None
    return logits[0].detach(), value.detach().to(x.dtype), gradient


def fgsm(model, x, y, *, eps: float, **options) -> Adversarial:
    """Fast gradient sign method: one step of size ``eps`` (Goodfellow et al. 2015)."""
    check_size("eps", eps)
    return attack(model, x, y, eps=eps, steps=1, step_size=max(eps, 1e-12), **options)


def bim(model, x, y, *, eps: float, step_size: float, steps: int = 10, **options) -> Adversarial:
    """Basic iterative method: cross-entropy from the clean image (Kurakin et al. 2016)."""
    return attack(model, x, y, eps=eps, steps=steps, step_size=step_size, **options)


def cw(model, x, y, *, eps: float, step_size: float, steps: int = 10, **options) -> Adversarial:
    """The same steps on the margin of Carlini and Wagner (2017), that is down the decision surface S."""
    return attack(model, x, y, eps=eps, steps=steps, step_size=step_size, objective="cw", **options)


def pgd(model, x, y, *, eps: float, step_size: float, steps: int = 40, **options) -> Adversarial:
    """Projected gradient descent from a random point of the ball (Madry et al. 2018)."""
    return attack(model, x, y, eps=eps, steps=steps, step_size=step_size, random_start=True, **options)


def apgd(model, x, y, *, eps: float, steps: int = 100, **options) -> Adversarial:
    """Auto-PGD: the adaptive step from 2 eps on, with momentum, until the first success (Croce and Hein 2020)."""
    check_size("eps", eps)
    common = {"step_size": max(2 * eps, 1e-12), "adaptive": True, "momentum": 0.25, "stop_at_success": True}
    return attack(model, x, y, eps=eps, steps=steps, **common | options)


ATTACKS = {"fgsm": fgsm, "bim": bim, "cw": cw, "pgd": pgd}
