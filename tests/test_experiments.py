"""experiments.yml read and checked: names, types, overrides and derived recipes."""

import re

import pytest
import yaml
from conftest import DRAW, EXPERIMENTS, notebook
from toys import toy_recipe

from paperlib import data, names
from paperlib.refusal import Refusal
from press.plan import check, experiments, ranges, settings, templates
from press.plan.settings import ExperimentError


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """A function that lays out a tiny project with other text in experiments.yml or another notebook."""
    monkeypatch.setattr(settings, "ROOT", tmp_path)
    # any recipe whose fields are known
    monkeypatch.setattr(experiments.Recipe, "of", lambda settings: toy_recipe())
    monkeypatch.setattr(experiments, "recipe_fields", lambda: ["data", "epochs", "pause", "c", "p", "seed"])

    def lay(text: str = EXPERIMENTS, cells=DRAW) -> None:
        (tmp_path / "experiments.yml").write_text(text)
        (tmp_path / "notebooks").mkdir(exist_ok=True)
        (tmp_path / "notebooks" / "draw.ipynb").write_text(notebook(cells))
        experiments._load.cache_clear()

    lay()
    return lay


def test_what_a_profile_has(tiny):
    assert experiments.profiles() == ["smoke", "quick"]
    assert experiments.keys("quick") == ["fig01", "fig02"]
    assert experiments.keys("smoke") == []
    assert experiments.models("quick") == ["one", "two"]
    spec = experiments.artifact("quick", "fig02")
    assert (spec.notebook, spec.place, spec.title) == ("draw", "Fig. 2", "Two surfaces")
    assert spec.injected == {
        "artifact": "fig02",
        "profile": "quick",
        "models": {"natural": "one", "ours": "two"},
        "image": 2,
        "eps": [0.1, 0.2],
    }
    assert experiments.paper_place("fig02") == "Fig. 2"
    assert experiments.paper_place("mine") == ""


def test_a_column_may_have_a_title_of_its_own(tiny):
    found = yaml.safe_load(EXPERIMENTS)
    found["artifacts"]["fig02"]["quick"]["title"] = "Two small surfaces"
    tiny(yaml.safe_dump(found))
    assert experiments.artifact("quick", "fig02").title == experiments.title("quick", "fig02") == "Two small surfaces"
    assert experiments.title("smoke", "fig02") == "Two surfaces"


def test_a_title_names_the_data_of_its_profile():
    for profile in experiments.profiles():
        for key in experiments.keys(profile):
            spec = experiments.artifact(profile, key)
            for word, begins in {
                "handwritten digits": "digits-",
                "colour images": "rgb-",
                "MNIST": "mnist-",
                "CIFAR-10": "cifar-",
            }.items():
                if word in spec.title:
                    assert all(name.startswith(begins) for name in spec.models.values()), (profile, key, spec.title)


def test_merge_keys_are_allowed_and_repeated_keys_are_not(tiny):
    tiny("x-base: &base {data: toy, epochs: 1}\nrecipes: {quick: {one: {<<: *base, epochs: 2}}}\nartifacts: {}\n")
    assert experiments.recipe_settings("quick", "one") == {"data": "toy", "epochs": 2}
    tiny("recipes: {quick: {}}\nartifacts: {}\nartifacts: {}\n")
    with pytest.raises(ExperimentError, match=r"experiments.yml, line 3: the key 'artifacts' is given twice"):
        experiments.load()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("recipes: {quick: {}}\n", "experiments.yml lacks the section 'artifacts'"),
        ("recipes: {}\nartifacts: {}\nrecipies: {}\n", "experiments.yml has a section 'recipies'; allowed are recipes"),
        ("recipes: {quick: [}\n", "experiments.yml, line 1: "),
        ("- 1\n", "experiments.yml lacks the section 'recipes'"),
    ],
)
def test_a_file_of_another_shape_is_refused(tiny, text, sentence):
    tiny(text)
    with pytest.raises(ExperimentError, match=sentence):
        check.check("quick")


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("quick: {models: {natural: one},", "quack: {models: {natural: one},", "no key of artifact fig01.*'quack'"),
        ("parameters: {image: 1}", "params: {image: 1}", "no key of artifact fig01, profile quick called 'params'"),
        ("parameters: {image: 1}", "parameters: {eps: 0.1}", "parameter eps .* is 0.1; allowed is a list such as"),
        ("parameters: {image: 1}", "parameters: {eps: [a]}", r"parameter eps .* is \['a'\]; allowed is a list"),
        ("parameters: {image: 1}", "parameters: {image: 1.5}", "parameter image .* is 1.5; allowed is a whole number"),
        ("parameters: {image: 1}", "parameters: {eps: [.inf]}", r"parameter eps .* is \[inf\]; allowed is a finite number"),
        ("parameters: {image: 1}", "parameters: {image: true}", "parameter image .* is True; allowed is a whole"),
        ("parameters: {image: 1}", "parameters: {fail: 1}", "parameter fail .* is 1; allowed is true or false"),
        ("one, ours: two}", "one, ours: two--sede=1}", "no field of model two--sede=1 .* called 'sede'; did you mean seed"),
        ("models: {natural: one}", "models: [one]", r"models of artifact fig01 .* is \['one'\]; allowed is a mapping"),
        ("parameters: {image: 1}", "parameters: [1]", r"parameters of artifact fig01 .* is \[1\]; allowed is a mapping"),
        ("two: {data: toy, epochs: 3, pause: 0.2, c: 0.5}", "two: word", "model two .* is 'word'; allowed is a mapping"),
        ("artifacts:\n", "columns: [quick]\nartifacts:\n", r"columns .* is \['quick'\]; allowed is a mapping"),
        ("artifacts:\n", "searches: {quick: {two: {n: 1}}}\nartifacts:\n", "search two has .'n'.; allowed are exactly"),
        ("    two: ", "    two--c=1: ", "model name 'two--c=1' is not allowed"),
        ("    two: ", "    two/x: ", "model name 'two/x' is not allowed"),
    ],
)
def test_a_wrong_entry_is_refused(tiny, old, new, sentence):
    assert old in EXPERIMENTS
    tiny(EXPERIMENTS.replace(old, new, 1))
    with pytest.raises(ExperimentError, match=sentence):
        check.check("quick")


def test_a_sound_file_passes(tiny):
    check.check("quick")
    check.check("smoke")


def test_a_figure_needs_words_where_the_book_has_any(tiny, tmp_path):
    (tmp_path / "book" / "figures").mkdir(parents=True)
    (tmp_path / "book" / "figures" / "fig01.md").write_text("Why?\n")
    with pytest.raises(ExperimentError, match="artifact fig02 has no words in book/figures/fig02.md, which its page needs"):
        check.check("quick")


@pytest.mark.parametrize(
    ("default", "value", "fits"),
    [
        (0, 1, True),
        (0, 1.0, False),
        (0, True, False),
        (0.5, 1, True),
        (0.5, "1", False),
        (True, False, True),
        (True, 1, False),
        ("a", "b", True),
        ("a", 1, False),
        ([0.1], [1, 2], True),
        ([0.1, 1], [0.5], True),
        ([1], [0.5], False),
        ([], ["x"], True),
        ([1], 1, False),
        (None, "anything", True),
        ({"a": 1}, {"b": 2}, True),
        ({"a": 1}, [1], False),
    ],
)
def test_a_value_has_the_type_of_its_default(default, value, fits):
    assert settings.fits(default, value) is fits


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("", {}),
        ("image=3", {"image": 3}),
        ("image=3  eps=[0.1, 0.3] method=ours+advtrain", {"image": 3, "eps": [0.1, 0.3], "method": "ours+advtrain"}),
        ("c=1e-3 d=-2E5 e=.5 f=1e-3x", {"c": 0.001, "d": -200000.0, "e": 0.5, "f": "1e-3x"}),
        ("flag=true none=null word='a b'", {"flag": True, "none": None, "word": "a b"}),
        ("steps={a: 1}", {"steps": {"a": 1}}),
        ("c=2020-01-01 d=2020-13-45 p=inf", {"c": "2020-01-01", "d": "2020-13-45", "p": "inf"}),
    ],
)
def test_overrides_are_yaml(text, values):
    assert settings.parse_overrides(text) == values


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("image", "'image' is not a parameter; write KEY=VALUE"),
        ("image=", "'image=' is not a parameter; write KEY=VALUE"),
        ("3=image", "'3=image' is not a parameter"),
        ("image=1 image=2", "parameter image is given twice"),
        ("eps=[0.1", r"parameter eps is '\[0.1'; allowed is a finite number, a word or a \[list\]"),
        ("c=.nan", "parameter c is '.nan'; allowed is a finite number"),
        ("c=1e999", "parameter c is '1e999'; allowed is a finite number"),
        ("eps=[0.1, -.inf]", r"parameter eps is '\[0.1, -.inf\]'; allowed is a finite number"),
        ("c=!!timestamp 2020-01-01", "parameter c is '!!timestamp 2020-01-01'; allowed is a finite number"),
        ("c=!!timestamp 2020-13-45", "parameter c is '!!timestamp 2020-13-45'; allowed is a finite number"),
        ("eps=&a [*a]", r"parameter eps is '&a \[\*a\]'; allowed is a finite number"),
        ("m={a: 1, 2: 3}", "parameter m is '{a: 1, 2: 3}'; allowed is a finite number"),
        ("m={a: 1, a: 2}", "the key 'a' is given twice"),
    ],
)
def test_wrong_overrides_are_refused(text, sentence):
    with pytest.raises(ExperimentError, match=sentence):
        settings.parse_overrides(text)


@pytest.mark.parametrize(
    "changes",
    [
        {"c": 0.1},
        {"c": 0.1, "p": 2},
        {"p": "inf", "seed": 7},
        {"c": 1e-07},
        {"data": "a/b.npz"},
        {"data": "7"},
        {"data": ""},
        {"p": [1, 2]},
    ],
)
def test_a_derived_name_is_a_file_name_that_says_its_recipe(tiny, changes):
    name = experiments.derived_name("two", changes)
    assert "/" not in name and " " not in name
    assert experiments.recipe_settings("quick", name) == {"data": "toy", "epochs": 3, "pause": 0.2, "c": 0.5} | changes


def test_a_name_may_be_derived_again():
    assert experiments.derived_name("two--c=0.1,p=2", {"c": 0.3}) == "two--c=0.3,p=2"


def test_an_override_goes_to_the_notebook_or_to_the_recipes_that_set_it(tiny):
    spec = experiments.artifact("quick", "fig02")
    changed = experiments.override(spec, {"image": 5, "c": 0.7})
    assert changed.parameters == {"image": 5, "eps": [0.1, 0.2]}
    assert changed.models == {"natural": "one", "ours": "two--c=0.7"}
    # pause is both: the notebook's
    assert experiments.override(spec, {"pause": 0.5}).models == spec.models
    assert experiments.override(spec, {"epochs": 5}).models == {"natural": "one--epochs=5", "ours": "two--epochs=5"}
    # a value that is there already needs no new model
    assert experiments.override(spec, {"c": 0.5}).models == spec.models


def test_an_override_that_nothing_takes_is_refused(tiny):
    spec = experiments.artifact("quick", "fig01")
    with pytest.raises(ExperimentError, match="no model of fig01 sets c: one leave it at its default"):
        experiments.override(spec, {"c": 0.1})
    with pytest.raises(ExperimentError, match="no parameter of fig01 called 'imge'; did you mean image"):
        experiments.override(spec, {"imge": 1})
    with pytest.raises(ExperimentError, match="parameter models is set by the pipeline"):
        experiments.override(spec, {"models": {}})


def test_parameters_are_read_from_the_tagged_cell(tiny):
    assert templates.notebook_parameters("draw")["eps"] == [0.1]
    tiny(cells=[("code", ["parameters"], "import os\nx = os.getcwd()\n")])
    with pytest.raises(ExperimentError, match=r"notebooks/draw.ipynb has a parameter that is not a plain value"):
        templates.notebook_parameters("draw")
    tiny(cells=[("code", [], "x = 1")])
    with pytest.raises(ExperimentError, match=r"notebooks/draw.ipynb has no cell tagged parameters"):
        templates.notebook_parameters("draw")


def test_places_follow_the_environment(tiny, monkeypatch, tmp_path):
    assert experiments.build_dir("quick") == tmp_path / "build" / "quick"
    monkeypatch.setenv("PAPERLIB_BUILD", str(tmp_path / "elsewhere"))
    assert experiments.build_dir("paper") == tmp_path / "elsewhere" / "paper"


def test_numbers_of_yaml_1_2_and_safe_tags_only(tmp_path):
    (tmp_path / "x.yml").write_text("a: 1e-3\nb: !!python/name:os.system\n")
    with pytest.raises(ExperimentError, match=r"x.yml, line 2"):
        settings.read_yaml(tmp_path / "x.yml")
    assert yaml.load("a: 1e-3", Loader=settings._loader()) == {"a": 0.001}


def test_the_commands_of_the_readme_are_accepted():
    root = settings.ROOT
    text = (root / "README.md").read_text(encoding="utf-8")
    figures = re.findall(r"make figure FIG=(\w+) P='([^']*)'", text)
    assert len(figures) >= 2
    for key, changes in figures:
        spec = experiments.artifact("quick", key)
        changed = experiments.override(spec, settings.parse_overrides(changes))
        assert (changed.parameters, changed.models) != (spec.parameters, spec.models)
    ((name, profile),) = re.findall(r"press train (\S+) --profile (\w+)", text)
    assert name in experiments.models(profile)
    targets = set(re.findall(r"^make (\w+)|`make (\w+)", text, flags=re.MULTILINE))
    rules = re.findall(r"^(\w+):", (root / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert {first or second for first, second in targets} <= set(rules)


def test_the_lock_says_where_it_comes_from_and_names_no_host():
    text = (settings.ROOT / "requirements.txt").read_text(encoding="utf-8")
    assert text.startswith("# Compiled from pyproject.toml for Linux and macOS")
    assert "make lock" in text.splitlines()[0]
    assert not re.search(r"://|--index|--find-links", text)
    pinned = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]
    assert all("==" in line for line in pinned)


@pytest.mark.parametrize("source", ["digits-minmax--source=digits-natural", "rgb-natural", "nobody"])
def test_a_source_is_a_network_of_the_same_data(source):
    with pytest.raises(ExperimentError, match=source.split("-")[0]):
        experiments.recipe("quick", experiments.derived_name("digits-advtrain", {"source": source}))
    assert experiments.recipe("quick", "digits-advtrain--source=digits-natural").source == "digits-natural"


# --- what values may be ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "value"), [
    ("010", 10), ("-07", -7), ("0x1f", 31), ("0o17", 15), ("1:30", "1:30"), ("1:30.5", "1:30.5"), ("+3.", 3.0),
    ("-.5", -0.5), ("1e-3", 0.001),
])  # fmt: skip
def test_numbers_are_those_of_yaml_1_2(text, value):
    found = settings.parse_overrides(f"x={text}")["x"]
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("key", "text", "sentence"),
    [
        ("fig06", "eps=-0.1", "parameter eps is -0.1; allowed are numbers above 0 up to 1, the range of grey images"),
        ("fig06", "eps=5", "parameter eps is 5; allowed are numbers above 0 up to 1, the range of grey images"),
        ("fig07", "eps=-1", "parameter eps is -1; allowed are numbers above 0 up to 255, the range of colour images"),
        ("fig07", "eps=300", "parameter eps is 300; allowed are numbers above 0 up to 255"),
        ("fig06", "unit=0", "parameter unit is 0; allowed are numbers above 0"),
        ("fig06", "steps=4", "parameter steps is 4; allowed are odd numbers from 3"),
        ("fig06", "image=1:30", "parameter image is '1:30'; allowed is a whole number such as -1"),
        ("fig06", "image=-2", "parameter image is -2; allowed are numbers from 0, or -1 for the one that the figure's rule"),
        ("fig06", "view=3d", "parameter view is '3d'; allowed are 2d, both"),
        ("fig06", "measures=[slop]", "no measure of a surface .* called 'slop'; did you mean slope"),
        ("fig06", "levels=[rol]", "no panel field .* called 'rol'; did you mean role"),
        ("fig06", "panels=[{role: ours}]", "panel field role is 'ours'; allowed are natural, robust"),
        ("fig06", "compare={ratio/slope: [natural, robust]}", "no group of panels .* called 'natural'"),
        ("fig06", "compare={mean/slope: [a, b]}", "compare holds mean/slope: .*; allowed are ratio/MEASURE"),
        ("fig05", "image=-1", "parameter image is -1; allowed are numbers from 0$"),
        ("fig05", "point=2", "parameter point is 2; allowed are numbers from -1 up to 1, or null"),
        ("fig05", "extent=2", "parameter extent is 2; allowed are numbers above 0 up to 1"),
        ("fig08", "digit=10", "parameter digit is 10; allowed are numbers from 0 up to 9"),
        ("fig10", "classes=[]", "parameter classes is an empty list; allowed is at least one value"),
        ("table1", "eps=[0.05, 0]", r"parameter eps is \[0.05, 0\]; allowed is a list of numbers above 0 up to 1"),
        ("table1", "strong=500", "parameter strong is 500; allowed is at most images, 450"),
        ("table1", "level=max", "parameter level is 'max'; allowed are quick, standard, strong"),
        (
            "strong",
            "eps=[[0.1, 2], [3]]",
            r"parameter eps is .*; allowed is a list of numbers above 0 up to 1, the range of",
        ),
        ("strong", "eps=[[0.1], [300]]", "parameter eps is .* above 0 up to 255"),
    ],
)
def test_a_value_that_no_measurement_could_use_is_refused(key, text, sentence):
    profile = "paper" if key == "strong" else "quick"
    with pytest.raises(Refusal, match=sentence):
        experiments.override(experiments.artifact(profile, key), settings.parse_overrides(text))


@pytest.mark.parametrize(("key", "text"), [
    ("fig05", "point=null"), ("fig05", "point=-1"), ("fig06", "eps=1"), ("fig07", "eps=255"), ("fig06", "attacked=0"),
    ("fig04", "noise=[255]"), ("fig04", "image=-1"), ("fig06", "image=-1"),
])  # fmt: skip
def test_the_ends_of_a_range_are_allowed(key, text):
    experiments.override(experiments.artifact("quick", key), settings.parse_overrides(text))


@pytest.mark.parametrize("path", sorted((settings.ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_every_number_of_a_notebook_has_a_range(path):
    defaults = templates.notebook_parameters(path.stem)
    free = ("panels", "levels", "measures", "compare", "labels", "indicator", "toy", "imagewise")
    own = [name for name in defaults if name not in (*templates.PIPELINE_PARAMETERS, *free)]
    assert [name for name in own if ranges.range_of(path.stem, name) is None] == []
    experiments.Artifact("x", "smoke", path.stem, "", "", defaults["models"], {}).check()


def test_more_test_images_than_there_are_is_refused():
    with pytest.raises(ExperimentError, match="parameter images is 451; allowed are up to 450, all test images"):
        ranges.check_counts("surfaces", {"images": 451}, 450)
    with pytest.raises(ExperimentError, match="parameter image is 450; allowed are 0 to 449, the test images, or -1 for"):
        ranges.check_counts("surfaces", {"image": 450}, 450)
    with pytest.raises(ExperimentError, match="parameter image is 450; allowed are 0 to 449, the test images$"):
        ranges.check_counts("curvature", {"image": 450}, 450)
    ranges.check_counts("surfaces", {"images": 450, "image": 449}, 450)


def test_whether_a_figure_may_choose_its_image_is_said_where_its_parameters_are():
    said = {
        path.stem: templates.parameter_comments(templates.parameters_source(path.stem)).get("image")
        for path in (settings.ROOT / "notebooks").glob("*.ipynb")
    }
    choosing = {name for name, comment in said.items() if comment and ranges.range_of(name, "image").holds(-1, 1)}
    assert choosing == {name for name, comment in said.items() if comment and "; -1: " in comment} != set()


def test_the_scale_of_sizes_that_names_tell_is_that_of_the_data():
    for name, row in names.DATA.items():
        shape = data.PUBLIC[name].shape[-1] if name in data.PUBLIC else data.load(name).shape[0]
        assert row.pixel_scale == {1: 1, 3: 255}[shape], name
