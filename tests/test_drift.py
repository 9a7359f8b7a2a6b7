"""A run's numbers beside another's."""

import pytest

from paperlib import sealed
from paperlib.refusal import InputError
from press.page import drift


def estimate(mean: float) -> dict:
    return {"mean": mean, "low": mean - 1, "high": mean + 1, "n": 9}


def write(folder, **values) -> None:
    for key, of in values.items():
        sealed.write_json(folder / f"{key}.json", {"values": of})


def test_numbers_beyond_their_intervals_are_named_and_others_counted(tmp_path):
    before, now = tmp_path / "before", tmp_path / "now"
    write(before, a={"x": estimate(50), "y": estimate(50), "z": 3, "w": "> 20 steps"}, gone={"x": 1})
    write(now, a={"x": estimate(60), "y": estimate(51), "z": 3, "w": "> 30 steps"}, come={"x": 1})
    said = drift.report(before, now)
    assert "1 numbers are the same, 1 have changed within their intervals or have none, 2 beyond them." in said
    assert "Only before: gone." in said and "Only now: come." in said
    assert "| a | x | 50.0 % [49.0, 51.0] | 60.0 % [59.0, 61.0] | +10 points [8.59, 11.4] |" in said
    assert "| a | w | > 20 steps | > 30 steps |" in said and "| a | y |" not in said


def test_a_folder_without_records_is_refused(tmp_path):
    write(tmp_path / "now", a={"x": 1})
    with pytest.raises(InputError, match="before holds no record; allowed is a folder such as"):
        drift.report(tmp_path / "before", tmp_path / "now")
