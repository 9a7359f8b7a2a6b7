"""The benchmark's bookkeeping: turns, ratios, what is kept, what is missing; no time decides anything here."""

import pytest

from paperlib import sealed
from press.bench import growth, peers, rows, run, timing


def test_turns_are_taken_by_all_and_the_first_is_not_counted():
    calls = []
    case = timing.Case(
        "a", lambda: calls.append("ours") or 1, {name: lambda name=name: calls.append(name) or 1 for name in ("p", "q")},
        lambda results: {"same": len(set(results.values()))},
    )  # fmt: skip
    found = timing.measured(case, 3)
    assert found["same"] == 1 and {calls.count(name) for name in ("ours", "p", "q")} == {4}
    # every round begins with another one
    assert [calls[3 * k] for k in range(1, 4)] == ["ours", "p", "q"]
    assert found["seconds"]["ours"]["n"] == 3 and found["ratio"]["peer"] in ("p", "q")
    assert timing.measured(case, 0)["seconds"]["p"]["n"] == 1


def test_a_ratio_is_the_fastest_peers_round_by_round():
    turns = {
        "ours": [(1.0, 2.0), (2.0, 2.0), (1.0, 1.0)],
        "slow": [(9.0, 9.0)] * 3,
        "fast": [(3.0, 1.0), (4.0, 2.0), (2.0, 2.0)],
    }
    found = timing.compared(turns)
    assert (found["ratio"]["mean"], found["ratio"]["peer"]) == (2.0, "fast")
    assert found["processor_ratio"]["mean"] == 1.0 and found["seconds"]["ours"]["mean"] == 1.0
    assert timing.geometric([{"mean": 2.0}, {"mean": 8.0}]) == pytest.approx(4.0)


def test_unequal_results_are_told_and_not_timed():
    def compare(results):
        raise timing.UnequalError(f"ours is {results['ours']} and theirs {results['p']}")

    row = rows.Row("r", "Row", 2.0, 1, lambda: [timing.Case("a", lambda: 1, {"p": lambda: 2}, compare)])
    found = run._row(row)
    assert found["unequal"] == ["ours is 1 and theirs 2"] and "ratio" not in found
    assert run._said(found) == "not compared: ours is 1 and theirs 2"


@pytest.fixture
def own(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "place", lambda: tmp_path)
    return tmp_path


def test_a_part_is_measured_once_and_again_when_it_is_damaged_or_of_other_code(own, monkeypatch):
    calls = []
    measure = lambda: calls.append(1) or {"ratio": 2.0}  # noqa: E731
    assert run._kept("a", measure) == run._kept("a", measure) == {"ratio": 2.0} and len(calls) == 1
    (own / "a.json").write_text("{}")
    assert run._kept("a", measure) == {"ratio": 2.0} and len(calls) == 2
    monkeypatch.setattr(run, "environment", lambda: {"machine": "another"})
    run._kept("a", measure)
    assert len(calls) == 3


def test_a_row_that_is_not_there_meets_one_sentence(own):
    with pytest.raises(ValueError, match="row is 'speed'; allowed are bim, half, worst"):
        run.bench(wanted=["speed"])


def test_a_missing_library_meets_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(peers.settings, "ROOT", tmp_path)
    with pytest.raises(peers.PeerError, match="foolbox is not in build/oracles; make oracles puts it there"):
        peers.peer("foolbox")


def test_the_exponent_is_that_of_a_power_law():
    assert growth.exponent([1, 2, 4, 8], [5 * n**1.5 for n in (1, 2, 4, 8)]) == pytest.approx(1.5)


def test_a_curve_has_the_seconds_of_each_size(monkeypatch):
    made = []
    found = growth._curve(lambda n: lambda: made.append(n), (1, 2, 3))
    assert made == [1, 2, 3] * (growth.REPEATS + 1) and len(found["seconds"]) == 3 and found["sizes"] == [1, 2, 3]


def test_what_is_published_is_the_last_record(own, tmp_path, monkeypatch):
    monkeypatch.setattr(run.places, "benchmark", lambda: tmp_path / "shown.json")
    sealed.write_json(own / "bench.json", {"values": {"a": {"ratio": 2.0}}})
    assert sealed.read_json(run.publish()) == {"values": {"a": {"ratio": 2.0}}}
