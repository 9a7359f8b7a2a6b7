"""The report of one network as a page of the book: drawn again from its record, byte by byte."""

import dataclasses
import subprocess
import sys

import pytest

import paperlib
from figures.rows import trained, written
from paperlib.drawings import report as drawings
from paperlib.measures import report as measures
from paperlib.reporting import report as reporting

SETTINGS = {"eps": 0.1, "level": "quick", "images": 8, "seed": 0}


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """A report, measured once; its pieces stay."""
    store = tmp_path_factory.mktemp("build")
    return measures.measure({"network": trained(0)}, **SETTINGS, store=store), store


def test_the_page_is_drawn_from_the_record_alone(found):
    measured, store = found
    again = written(measured, SETTINGS, ["network"])
    one, x, y = trained(0), trained(0).dataset.test.x, trained(0).dataset.test.y
    made = paperlib.report(
        one.model, x, y, eps=0.1, data="stripes", data_sha256="0" * 64, name="toy-0", pixel_scale=1, n=8,
        store=store / "parts",
    )  # fmt: skip
    # but for the time that it took
    values = made.values | {"provenance": drawings.whole(again)["provenance"]}
    assert drawings.whole(again) == values and measured.values == reporting.recorded(made.values)
    assert drawings.page(again) == reporting.Report(values, made.pictures)._repr_html_()
    assert list(drawings.pictures(again)) == list(made.pictures)
    assert drawings.facts(again) == {"n": 8, "size": "0.1"}


def test_a_record_without_the_whole_report_draws_nothing(found):
    measured, _ = found
    again = written(measured, SETTINGS, ["network"])
    arrays = {name: array for name, array in again.arrays.items() if name != "report"}
    lacking = dataclasses.replace(again, arrays=arrays)
    assert drawings.page(lacking) == "" and drawings.whole(lacking) == {}
    assert list(drawings.pictures(lacking)) == list(drawings.pictures(again))


def test_the_page_needs_no_torch():
    program = "import sys, paperlib.drawings.report, paperlib.reporting.page; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0
