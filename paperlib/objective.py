"""The scalar functions of the logits (Eq. 2 and Eq. 3); everything else climbs, draws or differentiates them.

Every function but ``margins`` maps logits ``Z`` of shape ``(n, K)`` and integer labels ``(n,)`` to one value per example.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from paperlib.refusal import check_choice, check_count
from paperlib.state import InputError, check_classes, check_labels, check_logits, evaluating

Logits = Float[Tensor, "n K"]
Labels = Int[Tensor, "n"]
Values = Float[Tensor, "n"]


def decision(Z: Logits, y: Labels) -> Values:
    """S = Z_t - max_{i != t} Z_i (Eq. 2): positive where the prediction is right, zero on the boundary."""
    check_classes(Z, y)
    is_true = F.one_hot(y, Z.shape[1]).bool()
    return Z[is_true] - Z.masked_fill(is_true, -torch.inf).amax(dim=1)


def margins(model: Callable, x: Float[Tensor, "n c h w"], y: Labels, *, batch: int = 500) -> Values:
    """S of a network at every image, at most ``batch`` images at a time, without gradients; the network is left as it was.

    The images are taken as they are, for noise may lead them out of [0, 1].
    """
    check_labels(x, y)
    check_count("batch", batch)
    if len(x) == 0:  # of which many a network can make nothing
        return x.new_zeros(0)
    with torch.no_grad(), evaluating(model):
        return torch.cat([decision(model(a), b) for a, b in zip(x.split(batch), y.split(batch), strict=True)])


def right(Z: Logits, y: Labels) -> Bool[Tensor, "n"]:
    """Whether each label is predicted; never where a logit is not finite, for such a network has said nothing."""
    check_classes(Z, y)
    return torch.isfinite(Z).all(dim=1) & (Z.argmax(dim=1) == y)


def cross_entropy(Z: Logits, y: Labels) -> Values:
    """-log softmax(Z)_t, the loss that training descends and an untargeted attack climbs (Eq. 3)."""
    check_classes(Z, y)
    return F.cross_entropy(Z, y, reduction="none")


def cw(Z: Logits, y: Labels) -> Values:
    """max_{i != t} Z_i - Z_t = -S, the objective of Carlini and Wagner (2017) (Eq. 3)."""
    return -decision(Z, y)


def least_likely_class(Z: Logits) -> Labels:
    """The class a network believes in least; the target of Kurakin et al. (2016), taken on the clean image."""
    check_logits(Z)
    return Z.argmin(dim=1)


def least_likely_cross_entropy(Z: Logits, target: Labels) -> Values:
    """Cross-entropy of the least likely class ``target``, which a targeted attack descends (Eq. 3)."""
    return cross_entropy(Z, target)


def logits_ratio(Z: Logits, y: Labels) -> Values:
    """The difference of logits ratio, -S over the distance from the first to the third largest logit (Croce and Hein 2020,
    Eq. 6): no scale of the logits changes it. It needs three classes."""
    _check_least("logits_ratio", Z, 3)
    ranked = Z.sort(dim=1, descending=True).values
    return cw(Z, y) / (ranked[:, 0] - ranked[:, 2]).clamp_min(1e-12)


def targeted_margin(Z: Logits, y: Labels, target: Labels) -> Values:
    """Z_target - Z_t: the margin toward one chosen class (Carlini and Wagner 2017)."""
    check_classes(Z, y)
    check_classes(Z, target, "target")
    return _picked(Z, target) - _picked(Z, y)


def targeted_ratio(Z: Logits, y: Labels, target: Labels) -> Values:
    """The targeted difference of logits ratio (Croce and Hein 2020, Eq. 7). It needs four classes."""
    _check_least("targeted_ratio", Z, 4)
    ranked = Z.sort(dim=1, descending=True).values
    spread = ranked[:, 0] - (ranked[:, 2] + ranked[:, 3]) / 2
    return targeted_margin(Z, y, target) / spread.clamp_min(1e-12)


def _check_least(name: str, Z: Logits, least: int) -> None:
    check_logits(Z)
    if Z.shape[1] < least:
        raise InputError(f"Z has {Z.shape[1]} classes; {name} allows at least {least}")


def _picked(Z: Logits, y: Labels) -> Values:
    return Z.gather(1, y[:, None])[:, 0]


ATTACKED = ("cross_entropy", "least_likely", "cw", "dlr")
# with a target class: the loss of that class is descended, or its margin climbed
TARGETED = {
    "cross_entropy": lambda Z, y, target: -cross_entropy(Z, target), "cw": targeted_margin, "dlr": targeted_ratio,
}  # fmt: skip
# the classes that an objective needs
LEAST_CLASSES = {"dlr": 3}


def climbed(name: str, clean_logits: Logits, y: Labels, target: Labels | None = None) -> Callable[[Logits, Tensor], Values]:
    """What an attack with this objective climbs: ``f(Z, index)``, with ``index`` the examples that ``Z`` belongs to.

    ``name`` is one of ``ATTACKED``, with a ``target`` one of ``TARGETED``; the clean logits fix the least likely class once,
    before the first step. Raises ValueError for another name, for labels that the logits lack, and for too few classes.
    """
    allowed = ATTACKED if target is None else tuple(TARGETED)
    check_choice("objective", name, allowed)
    check_classes(clean_logits, y)
    K = clean_logits.shape[1]
    check_classes(clean_logits, y if target is None else target, "target")
    least = LEAST_CLASSES.get(name, 2) + (target is not None and name in LEAST_CLASSES)
    if least > K:
        raise InputError(f"objective is {name!r} for {K} classes; allowed are at least {least}")
    if target is not None:
        return lambda Z, index: TARGETED[name](Z, y[index], target[index])
    if name == "least_likely":
        least_likely = least_likely_class(clean_logits)
        return lambda Z, index: -least_likely_cross_entropy(Z, least_likely[index])
    f = {"cross_entropy": cross_entropy, "cw": cw, "dlr": logits_ratio}[name]
    return lambda Z, index: f(Z, y[index])


SURFACES = {"decision": decision, "loss": cross_entropy}
