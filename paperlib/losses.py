"""What one step of training descends: one loss a method, penalties of an input gradient, and adversarial examples.

Ours flattens S in input space (Eq. 11 and 12); the others are what it is compared with.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from paperlib.attack import attack
from paperlib.batchnorm import ConstantStatistics
from paperlib.convolution import FastDoubleBackward
from paperlib.data import Dataset, Split
from paperlib.objective import cross_entropy, decision
from paperlib.recipe import Recipe
from paperlib.refusal import check_choice, check_size
from paperlib.state import check_batch, input_gradient

Loss = Float[Tensor, ""]
# the attacks of training: C&W from the image (A.3), PGD from a random start (Madry et al. 2018)
CW = {"objective": "cw", "random_start": False}
PGD = {"objective": "cross_entropy", "random_start": True}


@dataclass(frozen=True)
class Batch:
    """What one step looks at: a network in training, images ``x`` (n, c, h, w) in [0, 1] with labels ``y`` (n,), the recipe,
    and the sizes that hold now: ``c`` and ``curvature`` after warm-up, ``eps``, ``step_size`` and ``h`` of [0, 1]."""

    model: nn.Module
    x: Float[Tensor, "n c h w"]
    y: Int[Tensor, "n"]
    recipe: Recipe
    c: float
    eps: float
    step_size: float
    generator: torch.Generator | None = None
    curvature: float = 0.0
    h: float = 0.0


# One function a method.


def natural(batch: Batch) -> Loss:
    """Cross-entropy."""
    return cross_entropy(batch.model(batch.x), batch.y).mean()


def ours(batch: Batch) -> Loss:
    """Cross-entropy ``+ c |grad S|_p`` (Eq. 11)."""
    return flattened(batch, decision)


def crossentropy(batch: Batch) -> Loss:
    """Cross-entropy ``+ c |grad CE|_p`` (Ross and Doshi-Velez 2018)."""
    return flattened(batch, cross_entropy)


def ours_curvature(batch: Batch) -> Loss:
    """Ours ``+ k |grad S(x + h sign grad S) - grad S|_p``: the gradient must not change within h either (CURE, of
    Moosavi-Dezfooli et al. 2019, with S for the loss and a norm of choice for the squared one)."""
    if batch.c == 0:
        return natural(batch)
    p, here = batch.recipe.p, batch.x
    Z, J = with_gradient(batch.model, here, batch.y, decision)
    there = (here + batch.h * J.detach().sign()).clamp(0, 1)
    _, moved = with_gradient(batch.model, there, batch.y, decision)
    return cross_entropy(Z, batch.y).mean() + batch.c * penalty(J, p) + batch.curvature * penalty(moved - J, p)


def advtrain(batch: Batch) -> Loss:
    """The mean over clean and C&W examples (Kurakin et al. 2016; A.3), which a recipe with a ``source`` has among ``x``."""
    if batch.recipe.source:
        return natural(batch)
    both = torch.cat([batch.x, examples(batch, **CW)])
    return cross_entropy(batch.model(both), torch.cat([batch.y, batch.y])).mean()


def ours_advtrain(batch: Batch) -> Loss:
    """The mean of Ours and the loss of C&W examples, hence half the penalty."""
    x_adv = examples(batch, **CW)
    loss, _ = penalised(batch.model, batch.x, batch.y, decision, batch.recipe.p, batch.c)
    return (loss + cross_entropy(batch.model(x_adv), batch.y).mean()) / 2


def minmax(batch: Batch) -> Loss:
    """The loss of PGD examples alone (Madry et al. 2018)."""
    return cross_entropy(batch.model(examples(batch, **PGD)), batch.y).mean()


# every method of paperlib.recipe
LOSSES: dict[str, Callable[[Batch], Loss]] = {
    "natural": natural,
    "ours": ours,
    "crossentropy": crossentropy,
    "ours+curvature": ours_curvature,
    "advtrain": advtrain,
    "ours+advtrain": ours_advtrain,
    "minmax": minmax,
}


def batch_loss(
    model: nn.Module, x: Float[Tensor, "n c h w"], y: Int[Tensor, "n"], recipe: Recipe, *,
    c: float, eps: float, step_size: float, generator: torch.Generator | None = None, curvature: float = 0.0, h: float = 0.0,
) -> Loss:  # fmt: skip
    """The loss of the recipe's method on one batch; ``eps``, ``step_size`` and ``h`` on the [0, 1] scale, ``c`` and
    ``curvature`` after warm-up.

    Examples are made with BatchNorm frozen, penalties as ``penalised`` says: no image's gradient sees its neighbours.
    """
    check_batch(x, y)
    sizes = {"c": c, "eps": eps, "step_size": step_size, "curvature": curvature, "h": h}
    for name, value in sizes.items():
        check_size(name, value)
    return LOSSES[recipe.method](Batch(model, x, y, recipe, generator=generator, **sizes))


# Adversarial examples.


def examples(batch: Batch, *, objective: str, random_start: bool) -> Float[Tensor, "n c h w"]:
    """Adversarial training examples against the batch's network, in the recipe's number of steps."""
    return attack(
        batch.model, batch.x, batch.y, eps=batch.eps, steps=batch.recipe.steps, step_size=batch.step_size,
        objective=objective, random_start=random_start, batch=len(batch.x), generator=batch.generator,
    ).x  # fmt: skip


def with_examples(split: Split, source: nn.Module, recipe: Recipe, dataset: Dataset, device: str) -> Split:
    """The images ``(n, c, h, w)``, and after them ``n`` adversarial ones made against ``source`` (A.3), with their labels.

    ``eps`` and ``step_size`` are the recipe's.
    """
    source, eps, step_size = source.to(device), dataset.to_input(recipe.eps), dataset.to_input(recipe.step_size)
    made = [
        examples(Batch(source, x.to(device), y.to(device), recipe, 0.0, eps, step_size), **CW)
        for x, y in zip(split.x.split(100), split.y.split(100), strict=True)
    ]
    return Split(torch.cat([split.x, torch.cat(made).to(split.x.device)]), torch.cat([split.y, split.y]))


# Penalties.

# |.|_p of every row; the l2 norm has no derivative at 0: a tiny floor under its root keeps training finite
NORMS: dict[str, Callable[[Float[Tensor, "n d"]], Float[Tensor, "n"]]] = {
    "1": lambda flat: torch.linalg.vector_norm(flat, ord=1, dim=1),
    "2": lambda flat: (flat.square().sum(1) + 1e-12).sqrt(),
    "inf": lambda flat: torch.linalg.vector_norm(flat, ord=torch.inf, dim=1),
    "squared": lambda flat: flat.square().sum(1),
}


def penalty(gradient: Float[Tensor, "n ..."], p: str) -> Loss:
    """Batch mean of ``|gradient|_p``, one norm per image (Eq. 11); ``squared`` is ``|.|_2^2``, smooth at 0."""
    check_choice("p", p, NORMS)
    return NORMS[p](gradient.flatten(1)).mean()


def flattened(batch: Batch, function: Callable) -> Loss:
    """Cross-entropy + c * penalty of ``function``'s input gradient; without a penalty while c is 0."""
    if batch.c == 0:
        return natural(batch)
    return penalised(batch.model, batch.x, batch.y, function, batch.recipe.p, batch.c)[0]


def penalised(model: nn.Module, x, y, function: Callable, p: str, c: float) -> tuple[Tensor, Tensor]:
    """Cross-entropy + c * penalty by double backpropagation (Eq. 11 and 12), and the penalty alone, in one forward pass.

    In train mode with BatchNorm the penalty takes the batch's statistics as functions of the weights but not of the images:
    no image's gradient sees its neighbours, and, as in the cross-entropy, no scale of the weights before a BatchNorm changes
    anything. Statistics frozen at their running means fail at the latter: shrinking such weights would please the penalty
    without flattening the network.
    """
    Z, gradient = with_gradient(model, x, y, function)
    size = penalty(gradient, p)
    return cross_entropy(Z, y).mean() + c * size, size


def with_gradient(model: nn.Module, x, y, function: Callable) -> tuple[Float[Tensor, "n k"], Float[Tensor, "n c h w"]]:
    """The logits and the input gradient of ``function``, both to be differentiated by the weights, as ``penalised`` says."""
    logits, statistics = [], ConstantStatistics()

    def values(z: Tensor) -> Tensor:
        logits.append(_wide(model(z)))
        return function(logits[0], y)

    with FastDoubleBackward(), statistics:
        _, gradient = input_gradient(values, x, create_graph=True, backward=statistics.by_images)
    return logits[0], _wide(gradient)


def _wide(tensor: Tensor) -> Tensor:
    """At least single precision."""
    return tensor.float() if tensor.dtype == torch.bfloat16 else tensor
