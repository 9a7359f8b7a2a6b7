"""The path of a number in a record, in words that a reader understands."""

import re
from collections.abc import Mapping

from paperlib.names import ACTIVATIONS, ATTACKS, DIRECTIONS, METHODS, PREDICTORS, ROLES, STAGES, harmless, labels

QUANTITIES = {
    "S": "S", "adaptive_minus_fixed": "adaptive minus fixed step", "adversarial": "adversarial plane",
    "agreement": "agreement with AutoAttack", "alignment": "alignment with the image's own pattern", "alpha": "α",
    "any": "best threshold", "any_bim": "cross-entropy, any iterate", "any_cw": "margin, any iterate",
    "auc": "area under the ROC curve",
    "autoattack_alone": "images that AutoAttack alone breaks", "ball_plateau": "share of the ball's section with S > 0",
    "beside-random": "beside the image, along random signs", "beside-sign": "beside the image, along sign J",
    "best": "nearest definition", "blank": "blank points", "blank_from": "blank from S",
    "both_leave": "images that both leave", "bound": "bound of Eq. 9",
    "broken": "first broken by", "cascade": "cascade", "clean": "clean accuracy", "colour": "colour images",
    "contours": "contour lines a step", "correlation": "rank correlation of loss and S", "curvature": "curvature",
    "curvature_numeric": "curvature by three points", "cw_minus_ce": "accuracy, C&W minus BIM",
    "decay": "fall of CrossEntropy minus fall of Ours", "decision": "decision surface",
    "definitions": "definitions", "distance": "distance to the boundary", "eigenvalues": "eigenvalues",
    "entries": "entries", "epochs": "epochs until near the best clean accuracy",
    "epochs_adversarial": "epochs until near the best accuracy under attack",
    "exhaust": "growth of the lead of MinMax over Ours", "attacked": "accuracy under attack", "first": "first order",
    "fgsm_minus_bim": "harm of FGSM minus BIM", "gain": "lead over Natural in the worst case", "grey": "grey images",
    "growth": "largest eigenvalue, at the largest β over a hundredth of it",
    "hessian": "Hessian of S, softplus copy", "hessian_ce": "Hessian of the cross-entropy",
    "hessian_ce_norm": "norm of the cross-entropy's Hessian", "hessian_norm": "norm of the Hessian, softplus copy",
    "hessian_relu": "exact Hessian of S", "image-random": "from the image, along random signs",
    "image-sign": "from the image, along sign J", "images": "images", "indicator": "indicator", "input": "input space",
    "intact": "images with S > 0 on the whole section of the ball", "jacobian": "Jacobian",
    "jacobian_mean": "mean magnitude of the Jacobian", "jacobian_norm": "norm of the Jacobian",
    "last_bim": "cross-entropy, the paper's protocol", "last_cw": "margin, the paper's protocol",
    "leastlikely": "least likely class", "left_out": "images left out", "linear": "if S were linear",
    "linear_distance": "distance if S were linear", "linear_robust": "robust if S were linear",
    "long_bim": "cross-entropy, more steps", "long_cw": "margin, more steps", "loss": "loss surface",
    "magnitude": "mean magnitude of J", "margin": "margin S", "masking": "signs of masked gradients",
    "match": "at the matching threshold", "max": "largest", "mean": "mean magnitude", "mean_J": "mean slope",
    "median": "median", "middle": "median", "miss": "points missed", "n": "images", "near_zero": "near zero",
    "no_gradient": "images without a gradient",
    "nearest": "nearest to the paper", "norms_too": "near enough, with the paper's ratio of norms",
    "noise": "noise", "noisy": "with random signs", "norm": "norm", "other": "alignment with another image's pattern",
    "over_natural": "seconds an epoch over Natural's", "own_minus_other": "own pattern minus another's",
    "paired": "difference, image by image", "parameter": "parameter space",
    "plateau": "share of the ε-square with S > 0", "point": "point of contact", "q25": "lower quartile",
    "q75": "upper quartile", "radius": "radius of the circle", "random": "random direction",
    "random_second": "second order, random signs", "rank": "rank", "rank_bound": "rank, at most",
    "rank_most": "largest rank", "ratio": "ratio",
    "ratio_norm": "predicted by the norm of J", "ratio_of_ratios": "measured over predicted",
    "reached": "boundary found", "relative_drop": "relative drop of S at ε", "rise": "rise of the loss",
    "roughness": "roughness", "rounds": "rounds of restarts", "second": "second order", "seconds": "seconds an epoch",
    "settings": "settings", "slope": "mean slope", "small_bim": "cross-entropy, smaller steps",
    "small_cw": "margin, smaller steps", "spearman": "rank correlation", "spread": "spread",
    "softplus": "Hessian of S, softplus copy", "straight": "images without a kink on the way",
    "square_alone": "broken by Square alone", "start_bim": "cross-entropy, random start",
    "start_cw": "margin, random start", "still_rising": "margin still falling at the end",
    "targeted_minus_untargeted": "with targets minus without", "ten": "best power of ten", "threshold": "threshold",
    "top": "largest eigenvalue", "top_median": "largest eigenvalue, median over images", "total": "both orders",
    "toy": "ten logits", "unchanged": "points missed by those without a choice", "unbounded": "accuracy, unbounded attack",
    "unit": "unit of the axes", "unscaled": "without units",
    "vanishing": "images with a vanishing loss gradient", "within": "boundary",
    "worst_alone": "images that the worst case alone breaks", "wrong": "images already wrong",
    "zero": "share that is zero", "zero_gradient": "images with a zero gradient",
}  # fmt: skip
# what stands where a key is a number, by the key above it; a size of the perturbation elsewhere
NUMBERED = {
    **dict.fromkeys(ACTIVATIONS, "c = {}"),
    "near_zero": "at most {}",
    "noisy": "of {}/255",
    "noise": "of {}/255",
    "within": "within {} steps",
    "softplus": "β = {}",
    **dict.fromkeys(("image-sign", "image-random", "beside-sign", "beside-random"), "h = {}"),
}
KNOWN = {
    **QUANTITIES, **labels(METHODS), **labels(ROLES), **labels(STAGES), **labels(ATTACKS),
    "several": "the paper's attacks and PGD",
}  # fmt: skip
# what a kind of figure calls otherwise
OF_NOTEBOOK = {
    "projections": labels(DIRECTIONS),
    "hessian": {"vanishing": "eigenvalues below a millionth", "within": "definitions near enough", "mean": "mean"},
    "architecture": {
        "rows": "each network",
        "spread": "mean over seeds",
        "distance": "distance from the paper's numbers, all rows",
        "natural": "Natural",
        "closer": "nearer to the paper than max-pooling",
        "nearest": "nearest architecture",
        "orderings": "the paper's orderings that are found",
        "all": "all architectures",
        "of": "orderings in all",
        "swing": "Natural under BIM, over architectures",
        "lowest": "lowest",
        "highest": "highest",
        "apart": "difference",
    },
    "smooth": labels(ACTIVATIONS)
    | {
        "candidates": "on held-out images",
        "chosen": "chosen strength",
        "rows": "the chosen",
        "gain": "more than ReLU",
        "best": "best smooth network",
        "row": "accuracy",
        "epoch": "an epoch over the ReLU network's",
        "activation": "activation",
    },
    "curvature": {"slope": "slope S′", "second": "second derivative S″", "curvature": "curvature κ"},
    "population": labels(PREDICTORS)
    | {
        "across": "all networks",
        "within": "within methods, averaged",
        "method": "within one method",
        "partial": "given clean accuracy and the logits' scale",
        "beyond": "beyond the mean magnitude of J",
        "lead": "lead of the mean magnitude of J over",
        "penalised": "trained with a penalty on a slope",
        "others": "trained without one",
        "count": "number",
        "networks": "networks",
        "recipes": "recipes",
        "range": "worst case",
        "lowest": "lowest",
        "highest": "highest",
        "image": "image by image",
        "l1_J": "‖J‖₁",
    },
}


def roles_of(notebook: str, parameters: Mapping[str, object]) -> dict[str, str]:
    """The names that a figure's record has of its own: those of its kind, and its parameter ``labels``."""
    return OF_NOTEBOOK.get(notebook, {}) | dict(parameters.get("labels") or {})


def words_of(path: tuple[str, ...], roles: Mapping[str, str] | None = None, unit: str = "") -> str:
    """A path in words, from the general to the particular; ``roles`` are a record's own names, ``unit`` that of its sizes.

    >>> words_of(("natural", "adversarial", "intact")), words_of(("ours_minus_natural", "0.2"))
    ('Natural, adversarial plane, images with S > 0 on the whole section of the ball', 'Ours minus Natural, ε = 0.2')
    """
    above = ("", *path)
    found = [_part(key, above[k], roles or {}, unit) for k, key in enumerate(path)]
    text = ", ".join(found)
    return text[:1].upper() + text[1:]


def _part(key: str, above: str, roles: Mapping[str, str], unit: str) -> str:
    if roles.get(key):
        return roles[key]
    if (above, key) == ("within", "1"):
        return "within 1 step"
    if re.fullmatch(r"[\d.]+(e-?\d+)?", key):
        return NUMBERED.get(above, f"ε = {{}}{unit}").format(key)
    if "_minus_" in key and key not in KNOWN:
        return " minus ".join(_part(each, "", roles, unit) for each in key.split("_minus_"))
    kind, _, rest = key.partition("-")
    if kind in ("grey", "colour") and rest in KNOWN:
        return f"{KNOWN[rest]}, {kind}"
    if kind in METHODS and rest.isdigit():
        return f"{KNOWN[kind]}, seed {rest}"
    family, _, last = rest.partition("-")
    if kind in METHODS and last.isdigit():
        return f"{KNOWN[kind]}, {roles.get(family, family)}, seed {last}"
    return KNOWN.get(key) or harmless(key)
