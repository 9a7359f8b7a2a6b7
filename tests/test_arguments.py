"""Every public function of the science, with every kind of bad value in every argument: one sentence of the library's own.

The functions are found by inspection: a new one, or a new argument, fails here until it has a row.
"""

import importlib
import inspect
import math
import pkgutil

import numpy as np
import pytest
import torch
from toys import images, labels_of, relu_network, seeded, toy_dataset, toy_recipe

import paperlib
from paperlib.objective import decision
from paperlib.predictors import Effort
from paperlib.refusal import Refusal

NAN, INF = math.nan, math.inf
MODEL = relu_network()
X = images(4)
Y = labels_of(MODEL, X)
Z = MODEL(X).detach()
J = torch.ones_like(X)
T = torch.linspace(0, 1, 13, dtype=torch.float64)
# no numbers at all, which no argument may take
STRANGE = [None, "0.1", [], True]


def at(value: float) -> torch.Tensor:
    """The images with one value of one pixel changed."""
    changed = X.clone()
    changed[1, 0, 2, 2] = value
    return changed


BAD = {
    "size": [NAN, INF, -INF, -0.1, *STRANGE],
    "positive": [NAN, INF, -INF, -0.1, 0, *STRANGE],
    "number": [NAN, INF, -INF, *STRANGE],
    "share": [NAN, INF, -0.1, 0, 1.1, *STRANGE],
    "fraction": [NAN, INF, -0.1, 1, *STRANGE],
    "count": [NAN, INF, 0, -1, 1.5, *STRANGE],
    "count or none": [NAN, INF, 0, -1, 1.5, "2", [], True],
    "from 0": [NAN, INF, -1, 1.5, *STRANGE],
    "choice": ["none of them", None, [], 3, NAN],
    "rising": [[], [NAN], [INF], [0.2, 0.1], [0.1, 0.1], [-0.1], [0], 0.1, None, ["a"], "0.1", [None]],
    "images": [at(NAN), at(INF), at(1.5), at(-0.5), X[0], (X * 255).to(torch.uint8), X.half(), None, X.numpy()],
    "labels": [Y + 9, Y - 9, Y.double(), Y[:2], Y[:, None], Y.int(), None, Y.numpy(), 3],
    # of a network that is not asked yet
    "own labels": [Y - 9, Y.double(), Y[:2], Y[:, None], Y.int(), None, Y.numpy(), 3],
    "image": [at(NAN)[1], at(INF)[1], at(1.5)[1], X, None],
    "label": [NAN, -1, 9, 1.5, *STRANGE],
    "own label": [NAN, -1, 1.5, *STRANGE],
    "like": [at(NAN), at(INF), X[:2], None, 3.0],
    "like or none": [at(NAN), at(INF), X[:2], 3.0],
    "like image": [at(NAN)[1], X, None],
    "axis": [[], [NAN], [0.0, INF], 0.1, None, "0.1", 1j, [[0.0, 1.0]], torch.tensor(0.1)],
    "origin": [X[0] * NAN, None, 0.1, "0.1", [0.1]],
    "logits": [Z[:, 0], Z[:, :, None], Z[:, :1], Z.long(), None, Z.numpy(), [[0.1]]],
    "labels or none": [Y[:2], Y.double(), Y - 9, [1], 0.1, "0.1"],
    "network": [None, "m", 3, [MODEL]],
    "points": [T * NAN, T[:0]],
    "seconds or none": [NAN, "1", [], True],
    "box": [(1, 0), (NAN, 1), (0, NAN), (0, 0), NAN, -1, [0.1], "01", 1j, (0, 1, 2)],
}
# what is turned into tensors first
BAD["array of images"] = [value for value in BAD["images"] if not isinstance(value, np.ndarray)]
BAD["array of labels"] = [value for value in BAD["labels"] if not isinstance(value, np.ndarray)]
# arguments that are objects of their own, not values: networks, functions, generators, folders, words
FREE = {
    "model", "network", "generator", "tracker", "store", "of", "progress", "ends", "f", "function",
    "random_start", "stop_at_success", "adaptive", "data", "name", "class_names", "data_sha256", "command", "notes",
    "index", "given", "device", "state_file", "source", "recipes", "recipe", "dataset", "split", "state", "path",
    "unit", "mean", "std", "shape", "judged", "left", "values", "unbroken",
}  # fmt: skip

LABELLED = {"x": "images", "y": "labels"}
ATTACK = LABELLED | {"eps": "size"}
PLANE = {"alpha": "axis", "beta": "axis", "batch": "count"}
U = torch.full_like(X, 0.5)
AXIS = np.array([0.0, 1.0])


class Row:
    """How a function is called well, and of what kind each of its arguments is; ``free`` are those of kinds unlike any."""

    def __init__(self, kinds: dict[str, str], free: tuple[str, ...] = (), **good):
        self.kinds, self.free, self.good = kinds, free, good


def labelled(kinds: dict[str, str] | None = None, free: tuple[str, ...] = (), **good) -> Row:
    """A row of a function of a network, images and labels."""
    return Row(LABELLED | (kinds or {}), free, **{"model": MODEL, "x": X, "y": Y} | good)


EFFORT = Effort(1, 10.0, 0.5, 2, 3, 3, 2, 4, 1, 0.1, 2)
STEPS = {"eps": "size", "step_size": "positive", "steps": "count"}
LOGITS = {"y": "labels", "Z": "logits"}
ROWS = {
    "attack.attack": labelled(
        {"eps": "size", "steps": "count", "step_size": "positive", "objective": "choice", "norm": "choice",
         "restarts": "count", "momentum": "fraction", "batch": "count", "start": "like or none", "precision": "choice",
         "target": "labels or none"}, eps=0.1, steps=2, step_size=0.05),
    "attack.checkpoints": Row({"steps": "count"}, steps=10),
    "attack.fgsm": labelled({"eps": "size"}, eps=0.1),
    **{f"attack.{name}": labelled(STEPS, eps=0.1, step_size=0.05, steps=2) for name in ("bim", "cw", "pgd")},
    "attack.apgd": labelled({"eps": "size", "steps": "count"}, eps=0.1, steps=2),
    "cascade.worst_case": labelled(
        {"eps": "rising", "seed": "from 0", "batch": "count", "precision": "choice"}, ("cascade",), eps=[0.1]),
    "clever.clever": labelled(
        {"radius": "positive", "batches": "count", "samples": "count", "targets": "count"}, radius=0.1, batches=3,
        samples=3),
    "clever.largest_slope": Row({}, ("slopes",), slopes=torch.ones(3, 2)),
    "evaluate.correct": labelled({"batch": "count"}),
    "evaluate.finite": Row({"x": "images", "batch": "count"}, model=MODEL, x=X),
    "evaluate.robustness": labelled(
        {"eps": "rising", "step_size": "positive", "pixel_scale": "count", "steps": "count", "pgd_steps": "from 0",
         "pgd_restarts": "count", "batch": "count"}, eps=[0.1], step_size=0.05, steps=2),
    "evaluate.pgd_step": Row({"eps": "size", "steps": "count"}, eps=0.1, steps=4),
    "evaluate.survivors": labelled(
        {"eps": "size", "steps": "count", "restarts": "count", "batch": "count"}, unbroken=Y >= 0, eps=0.1, steps=2,
        restarts=1, generator=seeded()),
    "evaluate.masking": labelled(STEPS, eps=0.1, step_size=0.05, steps=2),
    "evaluate.likeliest": labelled({"k": "count"}, k=2),
    "evaluation.evaluation": Row(
        LABELLED | {"eps": "rising", "step_size": "positive", "strong": "count", "pixel_scale": "count", "steps": "count",
                    "pgd_steps": "from 0", "pgd_restarts": "count", "seed": "from 0", "batch": "count"}, ("cascade",),
        network=MODEL, x=X, y=Y, eps=[0.1], step_size=0.05, strong=2, steps=2, pgd_steps=2),
    "indicator.jacobian": labelled(free=("objective",)),
    "indicator.hessian": Row({"x": "image", "y": "label"}, model=MODEL, x=X[0], y=1),
    "indicator.hessian_by_rows": Row({"x": "image", "y": "label"}, model=MODEL, x=X[0], y=1),
    "indicator.cross_entropy_hessian": Row({"x": "image"}, model=MODEL, x=X[0]),
    "indicator.cross_entropy_hessian_norm": Row({"x": "images"}, model=MODEL, x=X),
    "indicator.near_zero_ratio": Row({"threshold": "size"}, values=J, threshold=0.1),
    "indicator.bound": Row({"eps": "size"}, ("J", "H"), J=J[0], H=torch.eye(16), eps=0.1),
    "indicator.curvature_at_scale": labelled({"h": "positive"}, h=0.1),
    "indicator.slice_curvature": Row({"slope": "number", "second": "number"}, slope=1.0, second=1.0),
    "indicator.report": labelled({"eps": "size"}, eps=0.1),
    "indicator.matching_threshold": Row({"share": "share"}, values=J, share=0.5),
    "indicator.noise_spread": labelled({"size": "size", "draws": "count"}, size=0.1, draws=2, generator=seeded()),
    "indicator.ink": Row({"x": "images", "threshold": "number"}, x=X),
    "indicator.edges": Row({"x": "images", "share": "share"}, x=X),
    "indicator.slice_derivatives": Row(
        {"x": "image", "y": "label", "v": "like image", "t": "points"}, model=MODEL, x=X[0], y=1, v=J[0], t=T),
    "indicator.osculating_circle": Row(
        dict.fromkeys(("t", "value", "slope", "second"), "number"), t=0.0, value=1.0, slope=1.0, second=1.0),
    "secants.slope_change": labelled({"step": "like"}, step=J),
    "secants.hessian_at_scale": Row({"x": "image", "y": "label", "h": "positive"}, model=MODEL, x=X[0], y=1, h=0.1),
    "secants.cross_entropy_spectrum": Row({"x": "images"}, model=MODEL, x=X),
    "intervals.interval": Row({"how": "choice"}, values=[1.0, 2.0]),
    "intervals.ratio": Row({"how": "choice"}, ("first", "second"), first=np.ones(3), second=np.ones(3)),
    "intervals.wilson": Row({"successes": "from 0", "n": "count"}, successes=1, n=2),
    "intervals.distances": Row({"reach": "positive"}, ("t",), t=np.ones(3), reach=2.0, unit=""),
    "losses.batch_loss": labelled(
        dict.fromkeys(("c", "eps", "step_size", "curvature", "h"), "size"), curvature=0.0, h=0.0,
        recipe=toy_recipe(), c=0.0, eps=0.1, step_size=0.1),
    "losses.penalty": Row({"p": "choice"}, ("gradient",), gradient=J, p="1"),
    "model.activation_layer": Row({"activation": "choice", "beta": "positive"}, activation="softplus", beta=1.0),
    "model.build": Row(
        {"network": "choice", "width": "count", "fc": "count", "activation": "choice", "classes": "count"}, ("beta",),
        network="mnist", width=2),
    "model.softened": Row({"beta": "positive"}, model=MODEL, beta=1.0),
    "objective.decision": Row(LOGITS, Z=Z, y=Y),
    "objective.right": Row(LOGITS, Z=Z, y=Y),
    "objective.cross_entropy": Row(LOGITS, Z=Z, y=Y),
    "objective.cw": Row(LOGITS, Z=Z, y=Y),
    "objective.logits_ratio": Row(LOGITS, Z=Z, y=Y),
    "objective.least_likely_cross_entropy": Row({"target": "labels", "Z": "logits"}, Z=Z, target=Y),
    "objective.targeted_margin": Row(LOGITS | {"target": "labels"}, Z=Z, y=Y, target=Y),
    "objective.targeted_ratio": Row(LOGITS | {"target": "labels"}, Z=Z, y=Y, target=Y),
    "objective.climbed": Row({"y": "labels", "clean_logits": "logits"}, ("name", "target"), name="cw", clean_logits=Z, y=Y),
    "objective.margins": Row({"y": "labels", "batch": "count"}, ("x",), model=MODEL, x=X, y=Y),
    "oracle.autoattack": labelled({"eps": "positive", "seed": "from 0"}, eps=0.1),
    "predictors.pointwise": labelled({"h": "positive"}, h=0.1),
    "predictors.predictors": labelled(
        {"eps": "rising", "seed": "from 0"}, ("effort",), eps=[0.1], effort=EFFORT),
    "predictors.bends": labelled({"eps": "rising", "beta": "positive"}, eps=[0.1], beta=10.0),
    "sharpness.rise": labelled({"radius": "positive", "directions": "count"}, radius=0.1, directions=1, generator=seeded()),
    "sharpness.robust_rise": labelled(
        {"eps": "size", "radius": "positive", "directions": "count", "steps": "count"}, eps=0.1, steps=1, radius=0.1,
        directions=1, generator=seeded()),
    "sharpness.top_eigenvalue": labelled(generator=seeded()),
    "square.square": labelled({"eps": "size", "queries": "count", "batch": "count"}, eps=0.1, queries=2),
    "surface.adversarial_direction": labelled({"objective": "choice"}),
    "surface.input_plane": labelled(
        {"direction": "choice", "climbs": "choice"}, direction="adversarial", generator=seeded()),
    "surface.input_function": Row({"label": "own label"}, ("objective",), model=MODEL, label=1, objective=decision),
    "surface.parameter_function": labelled({"y": "own labels"}, ("objective",), objective=decision),
    "surface.surface": Row(
        PLANE | {"u": "like image", "v": "like image", "clip": "box", "origin": "origin"},
        f=lambda points: points.sum((1, 2, 3)),
        origin=X[0], u=U[0], v=U[0], alpha=AXIS, beta=AXIS),
    "surface.surfaces": labelled(
        PLANE | {"u": "like", "v": "like"}, ("objective",), u=U, v=U, objective=decision, alpha=AXIS, beta=AXIS),
    "surface.boundary_distance": Row(
        {"x": "images", "direction": "like", "reach": "positive", "coarse": "count", "bisections": "from 0"},
        f=lambda x: x.sum((1, 2, 3)), x=X, direction=U, reach=1.0),
    "surface.decision_function": Row({}, ("y",), model=MODEL, y=Y),
    "train.fit": Row(
        {"budget": "seconds or none", "watch_n": "count"}, recipe=toy_recipe(epochs=1), dataset=toy_dataset(),
        progress=False),
    "train.epoch_seconds": Row(
        {"rounds": "count", "batches": "count"}, recipes={"a": toy_recipe()}, dataset=toy_dataset(), rounds=1, batches=1),
    "reporting.report.report": Row(
        {"x": "array of images", "y": "array of labels", "eps": "positive", "level": "choice",
         "pixel_scale": "count or none", "n": "count or none",
                    "classes": "count or none", "seed": "from 0"}, network=MODEL, x=X, y=Y, eps=0.1),
    "reporting.checks.examine": labelled(free=("classes",), classes=4),
}  # fmt: skip
# what has no argument that could be wrong in one of these ways: results of measurements, and parts of the functions above
PLAIN = {
    "indicator.spectrum", "indicator.norms", "indicator.alignment", "indicator.free_of_kinks",
    "indicator.three_point_curvature", "intervals.mean_interval", "intervals.median_interval", "intervals.paired_flags",
    "intervals.accuracy", "intervals.spearman", "intervals.over_images", "intervals.without_gaps", "intervals.auc",
    "predictors.reached", "ranking.spearman", "ranking.partial", "ranking.within", "ranking.with_intervals",
    "evaluation.beside", "objective.least_likely_class", "oracle.available", "surface.random_direction",
    "surface.orthogonal", "surface.filter_normalised", "surface.parameters_of", "square.side", "reporting.report.recorded",
    "secants.near_zero_shares", "secants.common_threshold",
    "losses.natural", "losses.ours", "losses.crossentropy", "losses.advtrain", "losses.ours_advtrain", "losses.minmax",
    "losses.examples", "losses.with_examples", "losses.flattened", "losses.penalised",
    "losses.ours_curvature", "losses.with_gradient",
    "model.two_convolutions", "model.cifar_layers", "model.resnet_layers", "model.linear_layers",
    "train.untrained", "train.augmented", "train.save_state", "train.load_state",
}  # fmt: skip
# modules whose inputs are files, names, words or records, which have tests of their own
OTHERS = {
    "archives": "test_data", "convolution": "test_convolution", "data": "test_data", "drawings": "figures",
    "files": "test_pipeline", "fingerprint": "test_pipeline", "measures": "figures", "names": "test_names",
    "numbers": "test_numbers", "panels": "test_panels", "precision": "test_precision",
    "provenance": "test_record", "recipe": "test_recipe",
    "record": "test_record", "refusal": "this", "reporting.commands": "test_wrong_inputs",
    "reporting.drawing": "test_report",
    "reporting.examples": "test_report", "reporting.judge": "test_wrong_inputs", "reporting.own": "test_own",
    "reporting.page": "test_report", "reporting.parts": "test_report", "reporting.pieces": "test_report",
    "reporting.printing": "test_own", "reporting.readers": "test_readers", "reporting.references": "test_report",
    "reporting.rules": "test_report", "reporting.sizes": "test_own", "reporting.sources": "test_readers",
    "reporting.trial": "test_report", "reporting.wrap": "test_checks", "sealed": "test_sealed", "state": "this",
    "tangents": "test_tangents", "tracker": "test_attack",
}  # fmt: skip


def modules() -> list[str]:
    """Every module of the package."""
    found = pkgutil.walk_packages(paperlib.__path__, "paperlib.")
    names = [each.name for each in found if not each.ispkg and not each.name.endswith("__main__")]
    return [name.removeprefix("paperlib.") for name in names]


def public(module: str) -> dict[str, object]:
    """A module's own functions."""
    made = importlib.import_module(f"paperlib.{module}")
    own = inspect.getmembers(made, inspect.isfunction)
    return {f"{module}.{name}": f for name, f in own if not name.startswith("_") and f.__module__ == made.__name__}


SCIENCE = [name for name in modules() if name not in OTHERS and name.partition(".")[0] not in ("drawings", "measures")]
FUNCTIONS = {name: function for module in SCIENCE for name, function in public(module).items()}


def test_every_public_function_has_a_row():
    assert sorted(FUNCTIONS.keys() - ROWS.keys() - PLAIN) == []
    assert sorted((ROWS.keys() | PLAIN) - FUNCTIONS.keys()) == []


@pytest.mark.parametrize("name", ROWS)
def test_every_argument_has_a_kind(name):
    taken = inspect.signature(FUNCTIONS[name]).parameters.values()
    own = {each.name for each in taken if each.kind is not each.VAR_KEYWORD}
    row = ROWS[name]
    assert sorted(own - row.kinds.keys() - set(row.free) - FREE) == []
    assert sorted((row.kinds.keys() | set(row.free)) - own) == []


@pytest.mark.parametrize("name", [name for name in ROWS if not name.startswith(("reporting", "oracle", "cascade"))])
def test_the_good_values_are_taken(name):
    FUNCTIONS[name](**ROWS[name].good)


CASES = [(name, argument, kind) for name, row in ROWS.items() for argument, kind in row.kinds.items()]


@pytest.mark.parametrize(("name", "argument", "kind"), CASES, ids=[f"{name}-{argument}" for name, argument, _ in CASES])
def test_a_bad_value_meets_one_sentence(name, argument, kind, unhooked):
    row = ROWS[name]
    for value in BAD[kind]:
        with pytest.raises(Refusal) as caught:
            FUNCTIONS[name](**row.good | {argument: value})
        sentence = str(caught.value)
        assert "\n" not in sentence and "allowed" in sentence, sentence
        assert argument in sentence or kind.endswith(("labels", "images", "label", "image", "logits")), sentence


# a network is asked there later, or trained, or examined with sentences of its own
LATER = {
    "surface.decision_function", "surface.input_function", "surface.parameter_function", "surface.surfaces",
    "model.softened", "losses.batch_loss", "reporting.checks.examine",
}  # fmt: skip


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if "model" in row.good and name not in LATER])
def test_what_is_no_network_meets_one_sentence(name, unhooked):
    good = ROWS[name].good
    for value in BAD["network"]:
        with pytest.raises(Refusal, match="^model is "):
            FUNCTIONS[name](**good | {"model": value})


@pytest.mark.parametrize(
    "name", ["attack.attack", "square.square", "indicator.jacobian", "indicator.hessian", "objective.margins"]
)
@pytest.mark.parametrize("made", BAD["logits"], ids=lambda made: type(made).__name__)
def test_what_is_no_logits_of_a_network_meets_one_sentence(name, made, unhooked):
    with pytest.raises(Refusal, match="^(the logits are|y has shape) .* allowed"):
        FUNCTIONS[name](**ROWS[name].good | {"model": lambda x: made})


def viewing(x):
    """A network that can make nothing of no image, for ``view`` then leaves -1 open."""
    return MODEL(x.view(len(x), -1).view(x.shape))


EMPTY = [
    "attack.attack", "attack.apgd", "attack.pgd", "square.square", "evaluate.correct", "evaluate.finite",
    "indicator.cross_entropy_hessian_norm", "indicator.jacobian", "indicator.curvature_at_scale", "indicator.report",
    "objective.margins", "secants.cross_entropy_spectrum",
]  # fmt: skip


@pytest.mark.parametrize("name", EMPTY)
def test_no_image_gives_no_number_and_the_network_is_not_asked(name):
    none = {"model": viewing, "x": X[:0]} | ({"y": Y[:0]} if "y" in ROWS[name].good else {})
    found = FUNCTIONS[name](**ROWS[name].good | none | ({"norm": "l2"} if name == "attack.pgd" else {}))
    found = vars(found) if hasattr(found, "success") else found
    assert all(len(part) == 0 for part in (found.values() if isinstance(found, dict) else [found]))
