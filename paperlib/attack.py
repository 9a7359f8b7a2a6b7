"""One projected-gradient loop; FGSM, BIM, PGD and C&W are settings of it.

Follows Goodfellow et al. (2015), Kurakin et al. (2016), Madry et al. (2018) and the C&W objective inside the same loop,
as in the paper's A.3. Sizes are on the [0, 1] scale. No call touches the caller's tensors, nor the model's modes,
gradients or BatchNorm statistics.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from paperlib.objective import climbed, right
from paperlib.state import check_batch, evaluating, input_gradient, reject

NORMS = ("linf", "l2")


@dataclass(frozen=True)
class Adversarial:
    """What an attack found.

    ``x`` (n, c, h, w): the adversarial images. ``success`` (n,): whether ``x`` is misclassified. ``first_step`` (n,):
    the first step whose iterate was misclassified: 0 for the clean image or a start, inf for none (over all restarts).
    ``trajectory`` (steps + 1, n, c, h, w): every iterate of the first start, or None.
    """

    x: Float[Tensor, "n c h w"]
    success: Bool[Tensor, "n"]
    first_step: Float[Tensor, "n"]
    trajectory: Float[Tensor, "k n c h w"] | None = None


def attack(
    model: Callable,
    x: Float[Tensor, "n c h w"],
    y: Int[Tensor, "n"],
    *,
    eps: float,
    steps: int,
    step_size: float,
    objective: str = "cross_entropy",
    norm: str = "linf",
    random_start: bool = False,
    restarts: int = 1,
    stop_at_success: bool = False,
    trajectory: bool = False,
    batch: int = 500,
    generator: torch.Generator | None = None,
) -> Adversarial:
    """Climb an objective of Eq. 3 inside the ``eps``-ball around ``x`` and inside [0, 1].

    By default the last iterate is returned, as the paper's protocol does; with ``stop_at_success`` an example stays at
    its first misclassified iterate and leaves the loop. Only examples that are still right are started again, and a
    later start replaces an earlier one where it misclassifies, or climbs higher. ``batch`` bounds the memory and
    changes no result. Raises ValueError with one sentence for a wrong argument.
    """
    check_batch(x, y)
    reject(eps < 0, f"eps is {eps}; allowed is a number of at least 0")
    reject(steps < 1 or restarts < 1, f"steps is {steps} and restarts is {restarts}; allowed are at least 1")
    reject(step_size <= 0, f"step_size is {step_size}; allowed is a positive number")
    reject(norm not in NORMS, f"norm is {norm!r}; allowed are {', '.join(NORMS)}")
    reject(restarts > 1 and not random_start, f"restarts is {restarts} without random_start; allowed is 1")
    reject(batch < 1, f"batch is {batch}; allowed is at least 1")
    climbed(objective, torch.zeros(1, 2), torch.zeros(1, dtype=torch.long))  # a wrong name is refused before any work

    x, ball = x.detach(), Ball(eps, norm, step_size)
    best = torch.full((len(x),), -torch.inf, dtype=x.dtype, device=x.device)
    never = torch.full((len(x),), torch.inf, device=x.device)
    found = Adversarial(x.clone(), torch.zeros_like(y, dtype=torch.bool), never)
    paths = []
    with evaluating(model):
        for restart in range(restarts):
            # all random starts are drawn before batching, so that the batch size changes nothing
            start = x + ball.random(x, generator) if random_start else x
            todo = (~found.success).nonzero()[:, 0]
            if len(todo) == 0:
                break
            for index in todo.split(batch):
                x_adv, value, wrong, first, path = _climb(
                    model, x[index], y[index], start[index].clamp(0, 1), ball, objective, steps, stop_at_success,
                    trajectory and restart == 0,
                )  # fmt: skip
                better = wrong | (value > best[index])
                chosen = index[better]
                found.x[chosen], best[chosen], found.success[chosen] = x_adv[better], value[better], wrong[better]
                found.first_step[index] = torch.minimum(found.first_step[index], first)
                paths.append(path)
    joined = torch.cat([path for path in paths if path is not None], dim=1) if trajectory and len(x) else None
    return Adversarial(found.x, found.success, found.first_step, joined)


@dataclass(frozen=True)
class Ball:
    """The two places where the norm matters: the step along a gradient and the way back into the ball."""

    eps: float
    norm: str
    step_size: float

    def step(self, gradient: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """``step_size`` along the sign (l-infinity) or the normalised gradient (l2); a zero gradient stays put."""
        if self.norm == "linf":
            return self.step_size * gradient.sign()
        return self.step_size * (gradient / _l2(gradient).clamp_min(torch.finfo(gradient.dtype).tiny))

    def project(self, delta: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """The nearest point of the ball."""
        if self.norm == "linf":
            return delta.clamp(-self.eps, self.eps)
        return delta * (self.eps / _l2(delta).clamp_min(1e-12)).clamp(max=1)

    def random(self, x: Float[Tensor, "n c h w"], generator: torch.Generator | None) -> Float[Tensor, "n c h w"]:
        """A uniform point of the ball; drawn on the CPU, so that a seed means the same on every device."""
        if self.norm == "linf":
            noise = torch.rand(x.shape, generator=generator, dtype=x.dtype) * 2 - 1
            return self.eps * noise.to(x.device)
        noise = torch.randn(x.shape, generator=generator, dtype=x.dtype)
        radius = torch.rand(len(x), 1, 1, 1, generator=generator, dtype=x.dtype) ** (1 / max(1, x[0].numel()))
        return (self.eps * radius * noise / _l2(noise)).to(x.device)


def _l2(delta: Float[Tensor, "n c h w"]) -> Float[Tensor, "n 1 1 1"]:
    # in double precision: the square of a small gradient underflows in single
    return delta.flatten(1).double().norm(dim=1).to(delta.dtype).view(-1, 1, 1, 1)


def _climb(model, x, y, start, ball: Ball, objective: str, steps: int, stop: bool, keep_path: bool):
    """One start: iterates, the objective's last value, last correctness, step of first success, the path."""
    with torch.no_grad():
        clean = model(x)
    f = climbed(objective, clean, y)
    current, active = start.clone(), torch.arange(len(x), device=x.device)
    value = torch.full((len(x),), -torch.inf, dtype=x.dtype, device=x.device)
    wrong = torch.zeros_like(y, dtype=torch.bool)
    first = torch.where(right(clean, y), torch.inf, 0.0)
    path = [current.clone()] if keep_path else None
    for k in range(steps + 1):
        Z, value[active], gradient = _evaluate(model, current[active], f, active, differentiate=k < steps)
        wrong[active] = ~right(Z, y[active])
        first[active] = torch.where(wrong[active], first[active].clamp(max=k), first[active])
        going = ~wrong[active] if stop else torch.ones_like(active, dtype=torch.bool)
        active = active[going]
        if k == steps or len(active) == 0:
            break
        moved = current[active] + ball.step(gradient[going])
        current[active] = (x[active] + ball.project(moved - x[active])).clamp(0, 1)
        if keep_path:
            path.append(current.clone())
    # examples that all stopped early stay where they are
    joined = torch.stack(path + [current] * (steps + 1 - len(path))) if keep_path else None
    return current, value, wrong, first, joined


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


ATTACKS = {"fgsm": fgsm, "bim": bim, "cw": cw, "pgd": pgd}
