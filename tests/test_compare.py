"""The page of a figure made again: what it shows, and the changes of its numbers."""

import re

import pytest

from paperlib import intervals
from press.page import changes, compare
from press.plan import experiments


def estimate(mean: float, half: float, unit: str | None = None) -> dict:
    return {"mean": mean, "low": mean - half, "high": mean + half, "n": 100} | ({"unit": unit} if unit else {})


def test_a_change_has_the_interval_of_two_independent_estimates():
    found = changes.change(estimate(60, 3), estimate(50, 4))
    assert found == {"mean": 10, "low": 5, "high": 15, "unit": "points"}
    assert changes.is_told(found) and changes.words(found) == "+10 points [5, 15]"
    assert not changes.is_told(changes.change(estimate(54, 3), estimate(50, 4)))
    assert changes.change(estimate(1, 3, "S"), estimate(2, 4, "S"))["unit"] == "S"


def test_the_interval_of_a_difference_of_shares_is_newcombe_s():
    # Newcombe 1998, Table II: 56/70 and 48/80, method 10
    found = changes.change(intervals.wilson(56, 70), intervals.wilson(48, 80))
    assert [round(found[name], 2) for name in ("mean", "low", "high")] == [20.0, 5.24, 33.39]


@pytest.mark.parametrize(
    ("new", "old", "said"),
    [
        (estimate(1, 0.5), estimate(1, 0.5), "same"), ("> 20 steps", "> 20 steps", "same"), ("> 20 steps", 3.0, ""),
        (estimate(1, 0.5), None, ""), (None, None, ""), (3, 1, "+2"), (1.0, 1.5, "-0.5"),
        (estimate(1, 0.5, "S"), estimate(1, 0.4), ""), ({"mean": None, "low": 1, "high": 2}, estimate(1, 2), ""),
    ],
)  # fmt: skip
def test_what_cannot_be_subtracted_is_left_blank(new, old, said):
    assert changes.words(changes.change(new, old)) == said


def test_rows_hold_every_number_of_either_record_once():
    found = changes.rows({"a": {"b": 1}, "c": 2}, {"a": {"b": 3, "d": 4}})
    assert found == [(("a", "b"), 1, [3]), (("c",), 2, [None]), (("a", "d"), None, [4])]


def test_a_page_that_loads_nothing_ends_make_figure(done):
    status, said = done.run("figure", "fig02", "image=5 eps=[0.1, 0.3]")
    assert status == 0, said
    (page,) = (done.build / "reruns").glob("fig02-*/fig02.html")
    assert said.splitlines()[-1].endswith(str(page.relative_to(done.root)))
    text = page.read_text()
    plain = " ".join(re.sub(r"(?s)<style.*?</style>|<[^>]+>", " ", text).split())
    assert "make figure FIG=fig02 P=" in plain
    assert "image 5 2 which test image" in plain and "eps [0.1, 0.3] [0.1, 0.2] sizes of the perturbation" in plain
    assert "Profile quick: of 5 numbers that both have, 0 have changed beyond their intervals." in plain
    assert "image 5 2 +3" in plain and "natural › clean 98.4 % [97.9, 98.8] 98.4 % [97.9, 98.8] same" in plain
    assert "The published edition does not have this figure." in plain
    assert not re.search(r"""(src|href)=["']?(https?:)?//|url\(""", text)
    assert all((page.parent / name).is_file() for name in re.findall(r'<a href="([^"]+)"', text))
    # a second call makes nothing again
    measured = done.lines("measured.txt")
    assert done.run("figure", "fig02", "image=5 eps=[0.1, 0.3]")[0] == 0 and done.lines("measured.txt") == measured
    status, said = done.run("figures")
    name, *rest = said.splitlines()[1].split()
    assert status == 0 and name == page.parent.name and "image=5," in rest and "eps=[0.1,0.3]" in rest


def test_a_page_without_the_profile_s_own_figure_says_how_it_is_made(project):
    status, said = project.run("figure", "fig01", "image=3")
    assert status == 0, said
    (page,) = (project.build / "reruns").glob("fig01-*/fig01.html")
    assert "The profile&#39;s own figure has not been made yet: make book makes it." in page.read_text()


def test_pictures_stand_side_by_side_and_what_a_reader_named_is_escaped():
    spec = experiments.Artifact("fig06", "paper", "surfaces", "Fig. 6", "<A & B>", {}, {})
    record = {"profile": "paper", "parameters": {"image": 1}, "models": {}, "values": {"<x>": 1}, "started": "2020",
              "seconds": 1, "git_commit": None}  # fmt: skip
    picture = ("picture", "AAAA", "a surface")
    new = compare.Version("New", record, [picture, ("table", "<table></table>", "")])
    old = compare.Version("Old", record | {"parameters": {"image": 2}}, [picture])
    text = compare.page(spec, new, [old], overrides={"view": "<b>"}, missing=[], files=["fig06.json"])
    assert text.count('<img alt="a surface" src="data:image/png;base64,AAAA">') == 2
    assert "not in this version" in text and "<table></table>" in text
    assert "PROFILE=paper P=" in text and "<b>" not in text and "<x>" not in text and "&lt;A &amp; B&gt;" in text
