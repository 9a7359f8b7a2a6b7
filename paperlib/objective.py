"""The scalar functions of the logits (Eq. 2 and Eq. 3); everything else climbs, draws or differentiates them.

Every function maps logits ``Z`` of shape ``(n, K)`` and integer labels ``(n,)`` to one value per example.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from paperlib.state import InputError

Logits = Float[Tensor, "n K"]
Labels = Int[Tensor, "n"]
Values = Float[Tensor, "n"]


def decision(Z: Logits, y: Labels) -> Values:
    """S = Z_t - max_{i != t} Z_i (Eq. 2): positive where the prediction is right, zero on the boundary."""
    is_true = F.one_hot(y, Z.shape[1]).bool()
    return Z[is_true] - Z.masked_fill(is_true, -torch.inf).amax(dim=1)


def right(Z: Logits, y: Labels) -> Bool[Tensor, "n"]:
    """Whether each label is predicted; never where a logit is not finite, for such a network has said nothing."""
    return torch.isfinite(Z).all(dim=1) & (Z.argmax(dim=1) == y)


def cross_entropy(Z: Logits, y: Labels) -> Values:
    """-log softmax(Z)_t, the loss that training descends and an untargeted attack climbs (Eq. 3)."""
    return F.cross_entropy(Z, y, reduction="none")


def cw(Z: Logits, y: Labels) -> Values:
    """max_{i != t} Z_i - Z_t = -S, the objective of Carlini and Wagner (2017) (Eq. 3)."""
    return -decision(Z, y)


def least_likely_class(Z: Logits) -> Labels:
    """The class a network believes in least; the target of Kurakin et al. (2016), taken on the clean image."""
    return Z.argmin(dim=1)


def least_likely_cross_entropy(Z: Logits, target: Labels) -> Values:
    """Cross-entropy of the least likely class ``target``, which a targeted attack descends (Eq. 3)."""
    return cross_entropy(Z, target)


ATTACKED = ("cross_entropy", "least_likely", "cw")


def climbed(name: str, clean_logits: Logits, y: Labels) -> Callable[[Logits, Tensor], Values]:
    """What an attack with this objective climbs: ``f(Z, index)``, with ``index`` the examples that ``Z`` belongs to.

    ``name`` is one of ``ATTACKED``; the clean logits fix the least likely class once, before the first step.
    Raises ValueError for another name, or for labels that the logits lack.
    """
    K, largest = clean_logits.shape[1], int(y.max()) if len(y) else 0
    if largest >= K:
        raise InputError(f"y holds {largest}; allowed are labels 0..{K - 1}")
    if name == "cross_entropy":
        return lambda Z, index: cross_entropy(Z, y[index])
    if name == "cw":
        return lambda Z, index: cw(Z, y[index])
    if name == "least_likely":
        target = least_likely_class(clean_logits)
        return lambda Z, index: -least_likely_cross_entropy(Z, target[index])
    raise InputError(f"objective is {name!r}; allowed are {', '.join(ATTACKED)}")


SURFACES = {"decision": decision, "loss": cross_entropy}
