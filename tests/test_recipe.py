"""A recipe says what determines a network's weights, and refuses what does not fit; it loads without torch."""

import math
import subprocess
import sys
from dataclasses import fields

import pytest
from toys import toy_recipe

from paperlib import losses, model, recipe
from paperlib.recipe import Recipe

TABLES = {
    "METHODS": losses.LOSSES, "NORMS": losses.NORMS, "NETWORKS": model.NETWORKS, "ACTIVATIONS": model.ACTIVATIONS,
}  # fmt: skip


@pytest.mark.parametrize("name", TABLES)
def test_the_names_that_a_recipe_allows_are_those_that_training_knows(name):
    assert list(getattr(recipe, name)) == list(TABLES[name])


def test_settings_are_checked_without_torch():
    program = (
        "import sys\nfrom press.plan import check\ncheck.check('quick')\n"
        "assert 'paperlib.recipe' in sys.modules and 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_a_recipe_is_frozen_and_survives_its_card():
    recipe = toy_recipe(method="ours", c=0.1, p=2)
    assert recipe.p == "2"
    assert Recipe.of(recipe.to_dict()) == recipe
    with pytest.raises(AttributeError):
        recipe.c = 1.0


WRONG = [
    ("network", "vgg", f"allowed are {', '.join(recipe.NETWORKS)}"),
    ("method", "trades", f"allowed are {', '.join(recipe.METHODS)}"),
    ("activation", "tanh", "allowed are relu, softplus, silu, gelu"),
    ("p", "3", "allowed are 1, 2, inf, squared"),
    ("optimizer", "lbfgs", "allowed are adam, sgd"),
    ("precision", "fp16", "allowed are fp32, bf16"),
    ("keep", "first", "allowed are last, best"),
    # what YAML may hold in place of a name
    ("method", ["ours"], f"allowed are {', '.join(recipe.METHODS)}"),
    *[(name, value, "allowed is an integer of at least 1")
      for name in ("width", "fc", "epochs", "batch", "steps") for value in (0, 1.5, "8", True, None)],
    *[(name, value, "allowed is a number of at least 0")
      for name in ("c", "curvature", "h", "warmup", "eps_warmup", "eps", "weight_decay")
      for value in (-0.1, "1", math.nan, math.inf, True)],
    *[(name, value, "allowed is a positive number")
      for name in ("lr", "step_size", "beta") for value in (0, -1.0, "1", math.nan)],
    *[(name, value, "allowed are true and false") for name in ("augment", "channels_last") for value in (1, "yes")],
    *[("average", value, "allowed is a number in [0, 1)") for value in (1, -0.1, "0.9")],
    *[("seed", value, "allowed is an integer of at least 0") for value in (-1, 0.5, "0")],
    ("source", 3, "allowed is a name such as mnist-natural"),
    *[("train_n", value, "allowed is an integer of at least 1, or nothing for all images") for value in (0, 1.5, "all")],
    ("data", 3, "allowed is a name such as digits"),
]  # fmt: skip


@pytest.mark.parametrize(("field", "value", "allowed"), WRONG)
def test_a_wrong_field_is_named_with_its_value(field, value, allowed, unhooked):
    with pytest.raises(ValueError) as caught:
        toy_recipe(**{field: value})
    assert str(caught.value) == f"{field} is {value!r}; {allowed}"


def test_every_field_of_a_recipe_is_checked():
    assert {field for field, _, _ in WRONG} == {field.name for field in fields(Recipe)}


def test_a_curvature_needs_a_strength_and_a_scale():
    for name, other in (("curvature", "h"), ("h", "curvature")):
        with pytest.raises(ValueError) as caught:
            toy_recipe(method="ours+curvature", c=1.0, **{other: 0.1})
        assert str(caught.value) == f"{name} is 0 with method 'ours+curvature'; allowed is a positive number"


@pytest.mark.parametrize("method", ["ours", "crossentropy", "ours+advtrain", "ours+curvature"])
def test_a_penalty_needs_a_strength(method):
    with pytest.raises(ValueError) as caught:
        toy_recipe(method=method)
    assert str(caught.value) == f"c is 0 with method {method!r}; allowed is a positive number"


def test_a_source_is_for_methods_to_which_another_network_gives_something():
    sentence = "source is 'toy' with method 'minmax'; allowed is a source with method 'ours' or .* or 'advtrain'"
    with pytest.raises(ValueError, match=sentence):
        toy_recipe(method="minmax", source="toy")
    assert toy_recipe(method="advtrain", source="toy").source == "toy"


def test_a_recipe_of_unknown_or_missing_fields():
    settings = toy_recipe().to_dict()
    with pytest.raises(ValueError, match="^recipe field colour, size is unknown; allowed are activation, augment, "):
        Recipe.of(settings | {"size": 1, "colour": 2})
    del settings["width"]
    with pytest.raises(ValueError, match="^recipe is incomplete: .*'width'"):
        Recipe.of(settings)
