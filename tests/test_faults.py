"""The record of the fault suite: of the suite as it is, whole, and without a loss; and how the suite counts."""

import re

import pytest
from faults.ledger import OUTCOMES, Ledger
from house import ROOT

from paperlib import sealed
from press.page import faults

RECORD = faults.faults()
LEAST = {"kill -9": 20, "no room": 20, "a flipped bit": 15, "a file cut": 15, "a file emptied": 15, "a file lost": 15,
         "a file replaced": 15, "dates": 4, "two runs at once": 4, "clean during a run": 3, "no network": 1,
         "read-only tree": 2, "unwritable HOME": 1, "long and foreign paths": 4, "umask 077": 1,
         "other locales": 1}  # fmt: skip


@pytest.mark.parametrize("kind", LEAST)
def test_enough_faults_of_every_kind_were_tried(kind):
    assert sum(row["tried"] for row in RECORD["rows"] if row["kind"].startswith(kind)) >= LEAST[kind]


def test_nothing_was_lost_and_nothing_wrong_was_left():
    assert [RECORD["all"][outcome] for outcome in OUTCOMES[2:]] == [0, 0, 0] and RECORD["unsaid"] == 0


def test_the_record_is_of_the_kinds_that_the_suite_has():
    source = "\n".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "tests" / "faults").glob("test_*.py")))
    told = re.findall(r'tell\(\s*f?"((?:kill -9: )?(?:\{\w+\}: )?[^"]*)"', source)
    patterns = [re.sub(r"\\\{\w+\\\}", ".*", re.escape(kind)) for kind in told]
    assert len(told) >= 15
    assert [kind for kind in patterns if not any(re.fullmatch(kind, row["kind"]) for row in RECORD["rows"])] == []


def test_counts_add_up_and_a_test_that_could_not_say_is_counted(tmp_path):
    ledger = Ledger()
    ledger.note([("fault", ["a", "healed", 2]), ("other", 1)], failed=False)
    ledger.note([("fault", ["a", "wrong", 1])], failed=True)
    ledger.note([("fault", ["b", "refused", 1])], failed=True)
    ledger.note([], failed=True)
    assert ledger.unsaid == 2
    ledger.write(tmp_path / "record.json", seed=3)
    content = sealed.read_json(tmp_path / "record.json")
    zero = dict.fromkeys(OUTCOMES, 0)
    assert content["rows"] == [
        {"kind": "a", "tried": 3} | zero | {"healed": 2, "wrong": 1},
        {"kind": "b", "tried": 1} | zero | {"refused": 1},
    ]
    assert (content["seed"], content["tests"]) == (3, 4)


def test_without_a_record_there_is_no_table(tmp_path, monkeypatch):
    monkeypatch.setattr(faults.settings, "ROOT", tmp_path)
    assert faults.faults() == {}
