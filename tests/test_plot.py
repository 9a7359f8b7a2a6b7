"""What is drawn: shared and centred scales, the ball, the words of a page, and files that suffice to draw again."""

import json
import re

import matplotlib.pyplot as plt
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from press.page.book import leaves

from paperlib.drawings import style
from paperlib.drawings import surfaces as surfaces_drawings
from paperlib.drawings.maps import rounded
from press.page import words
from press.plan import experiments, settings, templates
from press.run import record

AXIS = np.linspace(-4, 4, 9)
A, B = np.meshgrid(AXIS, AXIS)
FOUR = [
    {"role": "natural", "direction": "random"}, {"role": "natural"},
    {"role": "ours", "direction": "random"}, {"role": "ours", "objective": "loss"},
]  # fmt: skip
SURFACES = [8 - A + 0 * B, 8 - 4 * A + B, 2 + 0.1 * A, np.log1p(np.exp(2 * A))]


def written(panels=FOUR, surfaces=SURFACES, data: str = "digits-rgb", **changes) -> tuple[dict, dict]:
    """A record and its arrays, as a notebook writes them."""
    parameters = {"panels": panels, "columns": 2, "unit": 1.0, "extent": 4.0, "steps": 9, "eps": 2.0} | changes
    models = {role: {} for role in dict.fromkeys(panel["role"] for panel in panels)}
    found = {"parameters": parameters, "models": models, "data": {"name": data, "n": 7}, "paper": "Fig. 6"}
    arrays = {"pixel_scale": np.array(255)}
    for k, (panel, values) in enumerate(zip(panels, surfaces, strict=True)):
        arrays |= {f"values_{k}": values, f"axis_{k}": AXIS}
        if panel.get("space") != "parameter":
            image = np.full((3, 8, 8), 0.5)
            arrays |= {f"image_{k}": image, f"u_{k}": np.sign(image - 0.2), f"label_{k}": np.array([3, 3, 5])}
    return found, arrays


@pytest.fixture
def figure():
    drawn = surfaces_drawings.surfaces(*written())
    yield drawn
    plt.close(drawn)


def maps(figure) -> list:
    return [ax for ax in figure.axes if ax.get_xlabel().startswith("α")]


def test_every_panel_has_its_map_and_names_what_tells_it_from_the_others(figure):
    titles = [ax.get_title() for ax in maps(figure)]
    assert len(set(titles)) == 4
    assert all("network" in title for title in titles)
    assert {ax.get_xlabel() for ax in maps(figure)} == {
        "α, in steps of 1/255\nalong random signs", "α, in steps of 1/255\nalong −sign ∇S"
    }  # fmt: skip


def test_s_is_centred_at_zero_and_the_scale_is_shared(figure):
    first, second, third, loss = (ax.collections[0] for ax in maps(figure))
    assert first.levels.tolist() == second.levels.tolist() == third.levels.tolist()
    assert first.levels.tolist() == pytest.approx((-first.levels[::-1]).tolist())
    assert first.get_cmap().name == "RdBu" and loss.get_cmap().name == "viridis"
    # 1.5 times the largest S of an image, rounded up
    assert first.levels[-1] == 15
    assert loss.levels[0] == 0


def test_the_boundary_is_a_thick_line_where_there_is_one(figure):
    thick = [[c for c in ax.collections if max(c.get_linewidths(), default=0) > 3] for ax in maps(figure)]
    assert [len(lines) for lines in thick] == [0, 1, 0, 0]
    xy = np.concatenate([path.vertices for path in thick[1][0].get_paths()])
    assert 8 - 4 * xy[:, 0] + xy[:, 1] == pytest.approx(np.zeros(len(xy)), abs=1e-9)


def test_the_square_and_the_ball_are_marked_at_eps(figure):
    for ax in maps(figure):
        outlines = [line for line in ax.lines if len(line.get_xdata()) == 5]
        corners = {tuple(point) for line in outlines for point in np.column_stack(line.get_data())}
        assert corners == {(2, 0), (0, 2), (-2, 0), (0, -2), (2, 2), (-2, 2), (-2, -2), (2, -2)}


def test_the_image_its_step_and_the_class_it_gets_stand_below(figure):
    titles = [ax.get_title() for ax in figure.axes]
    assert titles.count("seen as 3") == titles.count("seen as 5") == titles.count("63.8 × ε u") == 4
    wrong = [ax for ax in figure.axes if ax.get_title() == "seen as 5"]
    assert {ax.title.get_color() for ax in wrong} == {"#C00000"}


def test_cifar_classes_have_names():
    drawn = surfaces_drawings.surfaces(*written(data="cifar10"))
    assert {"cat", "dog"} <= {ax.get_title() for ax in drawn.axes}
    plt.close(drawn)


def test_a_plane_drawn_twice_shows_its_image_once():
    panels = [{"role": "natural"}, {"role": "natural", "objective": "loss"}]
    drawn = surfaces_drawings.surfaces(*written(panels, SURFACES[1::2]))
    assert [ax.get_title() for ax in drawn.axes].count("seen as 3") == 1
    plt.close(drawn)


def test_fonts_can_be_read_at_a_third_of_the_width(figure):
    for ax in maps(figure):
        for text in (ax.title, ax.xaxis.label, ax.yaxis.label, *ax.get_xticklabels()):
            # in pixels of the picture, which has 110 to the inch
            assert text.get_fontsize() * 110 / 72 / 3 >= 7


def test_nothing_overlaps(figure):
    renderer = figure.canvas.get_renderer()
    boxes = [(ax, ax.get_tightbbox(renderer)) for ax in figure.axes]
    for k, (one, box) in enumerate(boxes):
        for other, its in boxes[k + 1 :]:
            apart = box.x1 <= its.x0 + 2 or its.x1 <= box.x0 + 2 or box.y1 <= its.y0 + 2 or its.y1 <= box.y0 + 2
            assert apart, (one.get_title(), other.get_title())


def test_parameter_space_has_no_ball_and_no_image():
    panels = [{"role": "natural", "space": "parameter", "objective": "loss"}]
    drawn = surfaces_drawings.surfaces(*written(panels, SURFACES[3:]))
    assert len(drawn.axes) == 2
    assert maps(drawn)[0].get_xlabel() == "α, in norms of the filters\nalong a random direction"
    assert not [line for line in maps(drawn)[0].lines if len(line.get_xdata()) == 5]
    plt.close(drawn)


def test_landscapes_share_their_height_and_have_a_floor():
    drawn = surfaces_drawings.landscapes(*written(FOUR[:3], SURFACES[:3]))
    limits = {ax.get_zlim() for ax in drawn.axes}
    assert len(drawn.axes) == 3 and len(limits) == 1
    low, high = limits.pop()
    assert low < -15 and high == 15
    plt.close(drawn)


def test_the_files_suffice_to_draw_again_and_give_the_same_bytes(tmp_path, monkeypatch):
    found, arrays = written()
    run = record.Run("fig06", profile="smoke", parameters=found["parameters"], out=str(tmp_path))
    run.models, run.data = found["models"], found["data"] | {"sha256": "0" * 64}
    run.write({"slope": 1.0}, **arrays)
    again = record.read(tmp_path / "fig06.json")
    with np.load(tmp_path / "fig06.npz") as stored:
        second = style.shown(surfaces_drawings.surfaces(again, stored)).data
    assert style.shown(surfaces_drawings.surfaces(found, arrays)).data == second
    assert second.startswith(b"\x89PNG") and b"Software" not in second
    assert plt.get_fignums() == []


def test_alternative_text_names_the_panels():
    text = surfaces_drawings.alt(written()[0])
    assert text.startswith("Fig. 6 made again, 4 panels: natural network")
    assert style.shown(surfaces_drawings.toy_curve({"margin": [0.0, 1.0], "loss": [2.0, 1.0]}), alt=text).alt == text


@given(value=st.floats(1e-4, 1e6))
def test_scales_end_at_round_numbers_not_far_above(value):
    top = rounded(value)
    assert value <= top * (1 + 1e-6) and top <= 1.51 * value
    assert re.fullmatch(r"[1-8](\.5)?", f"{top / 10 ** np.floor(np.log10(top * (1 + 1e-12))):g}")


# Words.

VALUES = {"natural": {"rise": {"mean": 2.0, "low": 1.5, "high": 2.5, "n": 9, "unit": "nats"}, "clean": {
    "mean": 98.44, "low": 97.0, "high": 99.0, "n": 450}}, "ratio": {"rise": {
    "mean": 1.2, "low": 0.9, "high": 1.4, "n": 9, "unit": "×"}}}  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), [
    ("Rises by {natural/rise}.", "Rises by 2 nats [1.5, 2.5]."),
    ("{natural/clean} at ε = {eps}", "98.4 % [97.0, 99.0] at ε = 8/255"),
    ("{ratio/rise ~ 1}, {natural/rise ~ 1}, {natural/clean ~ 100}", "not to be told from 1, above 1, below 100"),
    ("{robust/rise} is not at hand", ""),
    ("{natural/rise/more} neither", ""),
    ("no number", "no number"),
])  # fmt: skip
def test_words_are_filled_with_numbers(text, expected):
    assert words.filled(text, VALUES, {"eps": "8/255"}) == expected


def test_steps_are_in_the_unit_of_the_data():
    assert style.step_words(0.05, 1) == "0.05" and style.step_words(1.0, 255) == "1/255"
    assert surfaces_drawings.facts(*written()) | {"columns": 2, "extent": 4.0, "steps": 9} == {
        "columns": 2, "unit": 1.0, "extent": 4.0, "steps": 9, "eps": "2/255", "step": "1/255", "n": 7,
        "data": "scikit-learn's digits over photographs",
    }  # fmt: skip


def test_an_unknown_artifact_has_no_words():
    with pytest.raises(ValueError, match="artifact 'fig99' is not in book/figures.yml; allowed are .*fig06"):
        words.words("fig99", "question")


FIGURES = [key for key, entry in experiments.load()["artifacts"].items() if entry["notebook"] == "surfaces"]


@pytest.mark.parametrize("key", FIGURES)
def test_every_figure_of_the_template_has_its_words(key):
    page = settings.read_yaml(settings.ROOT / "book" / "figures.yml")[key]
    assert page["question"].strip().endswith("?")
    assert 2 <= len(page["reading"]) <= 3
    known = {*templates.notebook_parameters("surfaces"), "eps", "step", "data", "n"}
    for text in (page["question"], *page["reading"], *page["differs"]):
        assert words.filled(text, {}, dict.fromkeys(known, "x")), text


@pytest.mark.parametrize("profile", ["quick", "paper"])
def test_the_numbers_that_the_words_ask_for_are_taken(profile):
    pages = settings.read_yaml(settings.ROOT / "book" / "figures.yml")
    for key in experiments.keys(profile):
        spec = experiments.artifact(profile, key)
        if spec.notebook != "surfaces":
            continue
        parameters = templates.notebook_parameters("surfaces") | spec.parameters
        for text in pages[key]["shows"]:
            for path in re.findall(r"{([^{}~]+/[^{}~]+?) *(?:~[^{}]*)?}", text):
                last = [part for part in path.split("/") if part not in ("median", "margin")][-1]
                taken = {*parameters["measures"], "clean", "correlation", "blank_from"}
                taken |= {"attacked"} if parameters["attacked"] else set()
                taken |= {"jacobian_norm", "curvature", "hessian_ce_norm"} if parameters["indicator"] else set()
                assert last in taken, (key, path)
                if path.startswith(("ratio/", "paired/")) and last not in ("clean", "attacked"):
                    assert path in parameters["compare"], (key, path)


def test_a_record_of_leaves_has_words(tmp_path):
    (tmp_path / "values.json").write_text(json.dumps(VALUES))
    found = leaves(json.loads((tmp_path / "values.json").read_text()))
    assert {"/".join(path) for path in found} == {"natural/rise", "natural/clean", "ratio/rise"}
    for path in found:
        assert words.filled("{" + "/".join(path) + "}", VALUES, {})
