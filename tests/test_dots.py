"""Dots with intervals: where a number lies on its axis, what stands beside it, and that Markdown takes it for one block."""

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from press.page import answers
from press.page.dots import Line, extent, marks_of, picture, share

FINITE = st.floats(-1e6, 1e6).map(lambda value: round(value, 4))


def interval(low: float, mean: float, high: float, **more) -> dict:
    return {"low": low, "mean": mean, "high": high, "n": 9, **more}


@given(values=st.lists(FINITE, min_size=1, max_size=6))
def test_every_number_lies_on_its_axis_and_the_marks_are_round(values):
    low, high, logarithmic = extent(values)
    assert all(-1e-6 <= share(value, low, high, logarithmic) <= 1 + 1e-6 for value in values)
    marks = marks_of(low, high, logarithmic)
    assert 2 <= len(marks) <= 8 and marks == sorted(set(marks))
    assert marks[0] == pytest.approx(low) and marks[-1] <= high * (1 + 1e-9) + 1e-9


def places(html: str, series: str) -> list[float]:
    """The places of a series' dots along their axes, in percent."""
    return [float(x) for x in re.findall(rf'<g class="dots-{series}">.*?<svg x="([\d.]+)%"', html)]


def test_a_dot_lies_where_its_number_is_between_the_ends_of_its_interval():
    html = picture([Line("one", {"published": interval(20, 25, 40)}), Line("two", {"published": interval(0, 0, 0)})])
    assert places(html, "published") == [25, 0]
    assert '<line x1="20.00%" x2="40.00%"' in html and html.count("<line x1=") == 1
    assert "25.0 % <small>[20.0, 40.0]</small>" in html


def test_dots_of_one_line_do_not_lie_on_each_other():
    html = picture([Line("one", {"paper": 25.0, "published": interval(25, 25, 25), "run": interval(25, 25, 25)})])
    heights = re.findall(r'<svg x="25.00%" y="([\d.]+)"', html)
    assert len(set(heights)) == 3
    assert [html.count(f'dots-legend"><svg class="dots-key dots-{name}') for name in ("paper", "published", "run")] == [
        1
    ] * 3


def test_numbers_of_other_units_have_an_axis_of_their_own():
    lines = [Line("a", {"run": interval(1, 2, 3, unit="nats")}), Line("b", {"run": interval(1, 50, 90)}),
             Line("c", {"run": interval(1, 2, 3, unit="nats")})]  # fmt: skip
    html = picture(lines)
    assert html.count("dots-axis") == 2 and html.index(">c<") < html.index(">b<")


def test_a_bound_in_words_stands_beside_without_a_dot_and_a_group_is_nothing():
    html = picture([Line("a", {"paper": "> 10", "published": interval(4, 5, 6, unit="×")}), Line("b", {"paper": "> 400"}),
                    Line("c", {"paper": {"x": 1}, "run": None})])  # fmt: skip
    assert "&gt; 10" in html and places(html, "paper") == [] and ">b<" not in html and ">c<" not in html
    assert picture([Line("a", {"run": None})]) == "" == picture([])


class Balanced(HTMLParser):
    """Elements that are open; ``path`` and the like close themselves."""

    def __init__(self):
        super().__init__()
        self.open = []

    def handle_starttag(self, tag, attributes):
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_markdown_takes_a_picture_for_one_block():
    claims = [{"id": "a", "section": "1 & 2", "claim": 'He said "<b>"', "verdicts": {"run": {"verdict": "partly"}}}]
    for html in (picture([Line("a < b & c", {"run": 1.0, "paper": 2.0})], title="1 < 2", at=1), answers.picture(claims)):
        assert "\n\n" not in html and html.startswith(("<figure", "<div"))
        parser = Balanced()
        # what closes itself is no open element
        parser.feed(re.sub(r"<(\w+)([^<>]*)/>", "", html))
        assert parser.open == [] and "<b>" not in html.replace("<b>1</b>", "")
