"""What things are called in the book, and how they are told apart: one row a thing, with its label, colour and marker.

What is not in a table, such as a role of the reader's own, is called by its key, is grey and has a dot. Nothing that is
measured reads this module, so that a new label or colour is drawn and measures nothing again.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

# Okabe and Ito's palette, readable by colour-blind people; one colour a role all through the book
BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
BLUE, VERMILION, PURPLE = "#0072B2", "#D55E00", "#CC79A7"
GREY, PALE = "#666666", "#999999"
# one more that is told apart from those
OLIVE = "#7A7A00"
# the kind of a notebook's output that holds the picture for a dark page, beside the light one in the same output
DARK_PICTURE = "application/vnd.paperlib.dark"


@dataclass(frozen=True)
class Name:
    """One row: what a thing is called, and what it looks like in a picture; ``title`` names a network above a panel."""

    label: str
    colour: str = GREY
    marker: str = "o"
    title: str = ""


@dataclass(frozen=True)
class DataName(Name):
    """A data set's row: ``classes`` are what its labels mean where digits do not say it, ``official`` the number of its test
    images if it is one of the paper's own, ``pixel_scale`` how many steps of a size the range of its images has (1 for grey
    ones, 255 for colour; 0 where only the data themselves say it)."""

    classes: tuple[str, ...] = ()
    official: int = 0
    pixel_scale: int = 0


METHODS = {
    "natural": Name("Natural", VERMILION, "o", "natural network"),
    "advtrain": Name("AdvTrain", ORANGE, "s"),
    "crossentropy": Name("CrossEntropy", PURPLE, "^"),
    "ours": Name("Ours", GREEN, "D", "network “Ours”"),
    "ours+curvature": Name("Ours+Curvature", BLACK, "p"),
    "ours+advtrain": Name("Ours+AdvTrain", SKY, "v"),
    "minmax": Name("MinMax", BLUE, "X"),
}
# what networks are called besides: the robust one of a pair, and the norms of penalties beside each other
ROLES = {
    "ours-smooth": Name("Ours, smooth", OLIVE, "h"),
    "ours-started": Name("Ours, from Natural’s weights", VERMILION, ">"),
    "ours-ramped": Name("Ours, strength growing to the end", PURPLE, "<"),
    "ours-averaged": Name("Ours, weights averaged", SKY, "P"),
    "ours-longer": Name("Ours, trained longer", ORANGE, "*"),
    "ours-longest": Name("Ours, trained longest", PALE, "*"),
    "ours-together": Name("Ours, all three", BLUE, "d"),
    "robust": Name("robust", BLUE, title="robust network"),
    "l1": Name("l1", GREEN),
    "l2": Name("l2", BLUE),
    "squared": Name("squared", PURPLE),
    "linf": Name("linf", ORANGE),
}
ACTIVATIONS = {
    "relu": Name("ReLU", VERMILION, "o"),
    "softplus": Name("softplus", BLUE, "s"),
    "silu": Name("SiLU", GREEN, "D"),
    "gelu": Name("GELU", PURPLE, "^"),
}
DATA = {
    "digits": DataName("scikit-learn's digits", pixel_scale=1),
    "digits-rgb": DataName("scikit-learn's digits over photographs", pixel_scale=255),
    "mnist": DataName("MNIST", official=10_000, pixel_scale=1),
    "cifar10": DataName(
        "CIFAR-10", official=10_000, pixel_scale=255,
        classes=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    ),
}  # fmt: skip
# in the order of a table's rows
ATTACKS = {
    "worst": Name("worst case", BLUE, "D"),
    "fgsm": Name("FGSM"),
    "bim": Name("BIM", PALE),
    "cw": Name("C&W"),
    "several": Name("these three and PGD", ORANGE, "s"),
    "autoattack": Name("AutoAttack", BLACK, "|"),
}
# what an axis of a plane runs along
DIRECTIONS = {
    "random": Name("random signs", GREY),
    "adversarial": Name("adversarial direction", VERMILION),
    "crossentropy": Name("cross-entropy", PURPLE),
    "leastlikely": Name("least likely class", ORANGE),
    "cw": Name("C&W", VERMILION),
}
# kinds of numbers that may foretell robustness
KINDS = {
    "slope": Name("slopes", GREEN, "D"),
    "bend": Name("with curvature, or at a distance", BLUE, "o"),
    "weights": Name("in parameter space", ORANGE, "s"),
    "beside": Name("no geometry", GREY, "X"),
}


def _predictor(label: str, kind: str) -> Name:
    return Name(label, KINDS[kind].colour, KINDS[kind].marker)


PREDICTORS = {
    "mean_J": _predictor("mean |∂S/∂pixel|", "slope"),
    "linear_distance": _predictor("S / ‖J‖₁", "slope"),
    "loss_slope": _predictor("slope of the loss, ‖·‖₁", "slope"),
    "bend": _predictor("mean |λ|", "bend"),
    "top_bend": _predictor("largest |λ|", "bend"),
    "loss_bend": _predictor("Hessian of the loss, norm", "bend"),
    "curvature": _predictor("curvature at scale h", "bend"),
    "curvature_eps": _predictor("curvature at scale ε", "bend"),
    "bound": _predictor("bound of Eq. 9 at ε", "bend"),
    "bound_distance": _predictor("ε at which Eq. 9 reaches S", "bend"),
    "clever": _predictor("CLEVER", "bend"),
    "sharpness": _predictor("rise of the loss", "weights"),
    "top_eigenvalue": _predictor("largest eigenvalue", "weights"),
    "robust_rise": _predictor("rise of the robust loss", "weights"),
    "clean": _predictor("clean accuracy", "beside"),
    "logit_scale": _predictor("scale of the logits", "beside"),
}
# of the cascade that gives the worst case
STAGES = {
    "pgd": Name("PGD, cross-entropy"),
    "apgd": Name("adaptive steps, cross-entropy"),
    "apgd-t": Name("adaptive steps, margin, with targets"),
    "square": Name("Square, no gradient"),
    "restarts": Name("more random starts, with targets"),
    "several": Name("left by these, broken by the paper's attacks or PGD"),
}


def network(role: str) -> Name:
    """The row of a network by its method or role."""
    return METHODS.get(role) or ROLES.get(role) or Name(harmless(role))


def data(name: str) -> DataName:
    """The row of a data set."""
    return DATA.get(name) or DataName(harmless(name))


def harmless(name: str) -> str:
    """A name that a reader gave, such as an archive's, as pages, tables and pictures may show it: markup, formulas and line
    breaks lose what makes them such.

    >>> harmless("my-set_2"), harmless("<b>x</b> $y$")
    ('my-set_2', '(b)x(/b)  y ')
    """
    return re.sub(r"[^\w()/ .,;:!?=+-]", " ", name.translate({ord("<"): "(", ord(">"): ")"}))


def label(table: Mapping[str, Name], key: str) -> str:
    """What a thing is called in one of the tables."""
    return table[key].label if key in table else key


def labels(table: Mapping[str, Name]) -> dict[str, str]:
    """Every key of a table with its label."""
    return {key: row.label for key, row in table.items()}
