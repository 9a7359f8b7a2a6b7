"""The claims ledger: each kind of check, the verdicts made of them, and the entries of the book's own file."""

import re
import subprocess

import pytest
import yaml

from press.page import amended, claims, findings
from press.page.claims import Values, judge, outcome
from press.page.values import Numbers


def interval(mean, low, high):
    """A leaf as a record has it."""
    return {"mean": mean, "low": low, "high": high, "n": 100}


VALUES = Values(
    records={
        "table1": {
            "a": interval(80, 75, 85),
            "b": interval(60, 55, 65),
            "x": 3.0,
            "bim": {"0.05": 1.0, "0.1": 2.0},
            "far": "> 64 px",
            "empty": interval(None, None, None),
        },
        "fig06": {"d": interval(4, 1, 7)},
    },
    stated={"table1": {"a": 78.0, "b": 99.0}},
)


@pytest.mark.parametrize(
    ("check", "holds"),
    [
        ({"kind": "greater", "left": "a", "right": "b"}, True),
        ({"kind": "greater", "left": "a", "right": "b", "margin": 10}, False),  # 75 - 65 is not above 10
        ({"kind": "greater", "left": "a", "right": 75}, False),  # the unfavourable end counts
        ({"kind": "greater", "left": 5, "right": "x"}, True),
        ({"kind": "between", "path": "a", "low": 79, "high": 81}, True),
        ({"kind": "between", "path": "x", "low": 4, "high": 5}, False),
        ({"kind": "near", "path": "a", "tolerance": 2}, True),
        ({"kind": "near", "path": "a", "tolerance": 1}, False),
        ({"kind": "near", "path": "x", "paper": "table1/a", "tolerance": 80}, True),
        ({"kind": "equivalent", "path": "fig06:d", "low": 0, "high": 8}, True),
        ({"kind": "equivalent", "path": "fig06:d", "low": 2, "high": 8}, False),
        ({"kind": "paired", "path": "fig06:d"}, True),
        ({"kind": "paired", "path": "fig06:d", "margin": 2}, False),
        ({"kind": "greater", "left": "bim/@1", "right": "bim/@0"}, True),
        ({"kind": "between", "path": "absent", "low": 0, "high": 1}, None),
        ({"kind": "near", "path": "x", "tolerance": 1}, None),  # the paper does not state it
        ({"kind": "reaches", "path": "a", "tolerance": 1}, True),  # 80 against 78: more than the tolerance above
        ({"kind": "reaches", "path": "b", "paper": "table1/a", "tolerance": 17}, False),
        ({"kind": "reaches", "path": "b", "paper": "table1/a", "tolerance": 18}, True),
        ({"kind": "reaches", "path": "x", "tolerance": 1}, None),
        ({"kind": "between", "path": "far", "low": 0, "high": 99}, None),  # a word
        ({"kind": "greater", "left": "empty", "right": 0}, None),
    ],
)
def test_each_kind_of_check(check, holds):
    assert outcome(check, "table1", VALUES) is holds


def claim(*checks):
    """A claim with the given checks in every profile."""
    return {"artifact": "table1", "show": {"a": "accuracy", "gone": "gone"}, "rule": {"both": list(checks)}}


YES, NO = ({"kind": "between", "path": "x", "low": low, "high": 9} for low in (0, 5))
GONE = {"kind": "between", "path": "gone", "low": 0, "high": 9}


@pytest.mark.parametrize(
    ("checks", "verdict"),
    [
        ([YES], "reproduced"),
        ([YES, NO], "partly"),
        ([NO, NO], "not reproduced"),
        ([YES, GONE], "not run"),
        ([YES, {"kind": "not-testable", "why": "unclear"}], "not testable"),
        ([], "not run"),
    ],
)
def test_verdicts(checks, verdict):
    found = judge(claim(*checks), VALUES, "quick")
    assert found.verdict == verdict and found.ours == "accuracy: 80.0 % [75.0, 85.0]"


@pytest.mark.parametrize(
    ("check", "near"),
    [
        # a: 80 [75, 85], ten wide; b: 60 [55, 65]; d: 4 [1, 7]
        ({"kind": "greater", "left": "a", "right": "b", "margin": 5.1}, True),
        ({"kind": "greater", "left": "a", "right": "b", "margin": 4.9}, False),
        ({"kind": "greater", "left": "a", "right": 77.4}, True),
        ({"kind": "greater", "left": "a", "right": 77.6}, False),
        ({"kind": "between", "path": "a", "low": 77.6, "high": 99}, True),
        ({"kind": "between", "path": "a", "low": 77.4, "high": 99}, False),
        ({"kind": "equivalent", "path": "fig06:d", "low": 0, "high": 8.4}, True),
        ({"kind": "equivalent", "path": "fig06:d", "low": -0.6, "high": 8.6}, False),
        ({"kind": "paired", "path": "fig06:d", "margin": 2.4}, True),
        ({"kind": "paired", "path": "fig06:d", "margin": -0.6}, False),
        ({"kind": "near", "path": "a", "tolerance": 4.4}, True),
        ({"kind": "near", "path": "a", "tolerance": 4.6}, False),
        ({"kind": "reaches", "path": "b", "paper": "table1/a", "tolerance": 16}, True),
        ({"kind": "reaches", "path": "b", "paper": "table1/a", "tolerance": 15}, False),
        # a number without an interval, and one that is not there
        ({"kind": "between", "path": "x", "low": 3, "high": 9}, False),
        ({"kind": "between", "path": "absent", "low": 0, "high": 1}, False),
    ],
)
def test_a_check_is_close_within_a_quarter_of_its_interval(check, near):
    assert claims.close(check, "table1", VALUES) is near


def test_what_hangs_on_a_close_check_is_undecided_where_networks_are_made_anew():
    near = {"kind": "paired", "path": "fig06:d", "margin": 2}
    found = judge(claim(YES, near), VALUES, "quick")
    assert (found.verdict, found.possible) == ("undecided", {"partly", "reproduced"})
    assert judge(claim(YES, near), VALUES, "paper").verdict == "partly"
    # decided by the others, whatever the close one says
    assert judge(claim(YES, NO, near), VALUES, "quick").verdict == "partly"
    assert judge(claim(near), VALUES, "quick").possible == {"not reproduced", "reproduced"}


def test_an_undecided_verdict_agrees_with_those_that_it_could_become(monkeypatch):
    numbers = object.__new__(Numbers)
    numbers.profile, numbers.here, numbers.edition, numbers.stated = "quick", VALUES.records, {}, VALUES.stated
    numbers.alone = False
    near = {"kind": "paired", "path": "fig06:d", "margin": 2}
    for recorded, lines in (
        ("partly", []),
        ("reproduced", []),
        ("not reproduced", ["one: recorded not reproduced, now undecided"]),
    ):
        entry = claim(YES, near) | {"id": "one", "paper": "p", "recorded": {"quick": recorded}}
        monkeypatch.setattr(claims, "load", lambda entry=entry: [entry])
        assert claims.unexpected(numbers) == lines


def test_a_rule_speaks_with_the_names_of_its_claim():
    check = {"kind": "greater", "left": "a", "right": "fig06:d", "margin": 10}
    assert claims.in_words(check, {"a": "accuracy", "fig06:d": "drop"}) == "accuracy above drop by more than 10"
    assert claims.in_words({"kind": "greater", "left": -0.8, "right": "a"}, {"a": "accuracy"}) == "-0.8 above accuracy"


def test_a_profile_s_own_rule_goes_before_the_common_one():
    both = claim(YES) | {"rule": {"both": [YES], "paper": [NO]}}
    assert judge(both, VALUES, "quick").verdict == "reproduced"
    assert judge(both, VALUES, "paper").verdict == "not reproduced"


def test_the_book_s_claims_are_complete_and_readable():
    entries = claims.load()
    assert len(entries) >= 22 and len({entry["id"] for entry in entries}) == len(entries)
    for entry in entries:
        for profile in ("quick", "paper"):
            checks = claims.checks_of(entry, profile)
            assert checks, f"{entry['id']} has no rule for {profile}"
            assert all(claims.in_words(check, entry["show"]) for check in checks)


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ("rule: {both: [{kind: nearly}]}", "kind 'nearly'; allowed are"),
        ("rule: {both: [{kind: paired}]}", "lacks path in a check paired"),
        ("rule: {both: [{kind: paired, path: a, margn: 3}]}", "has margn in a check paired; allowed are margin, path"),
        ("rule: {papr: []}", "has papr in rule; allowed are both, paper, quick"),
        ("recorded: {papr: partly}", "has papr in recorded"),
        ("noet: why", "has noet; allowed are"),
        ("rule: {both: [{kind: paired, path: ours/bim}]}", "judges by ours/bim, which show does not name"),
        ("artifact: fig99", "'fig99', which does not exist"),
        ("recorded: {quick: maybe}", "records 'maybe'"),
        # values of another kind than their fields hold
        ("rule: {both: [{kind: near, path: a, tolerance: five}]}", "tolerance 'five' in a check near; allowed is"),
        ("rule: {both: [{kind: near, path: a, tolerance: true}]}", "tolerance True in a check near; allowed is"),
        ("rule: {both: [{kind: near, path: a, tolerance: .nan}]}", "tolerance nan in a check near; allowed is"),
        ("rule: {both: [{kind: near, path: a, tolerance: -1}]}", "tolerance -1 in a check near; allowed is"),
        ("rule: {both: [{kind: near, path: a, tolerance: 1, paper: 3}]}", "paper 3 in a check near; allowed is a word"),
        ("rule: {both: [{kind: between, path: a, low: [1], high: 2}]}", r"low \[1\] in a check between; allowed is"),
        ("rule: {both: [{kind: between, path: a, low: 3, high: 2}]}", "low 3 above high 2 in a check between; allowed is"),
        ("rule: {both: [{kind: between, path: 0.1, low: 1, high: 2}]}", "path 0.1 in a check between; allowed is a word"),
        ("rule: {both: [{kind: greater, left: {a: 1}, right: 2}]}", "left {'a': 1} in a check greater; allowed is"),
        ("rule: {both: [{kind: paired, path: a, margin: 1e999}]}", "margin inf in a check paired; allowed is"),
        ("rule: {both: [{kind: not-testable, why: }]}", "why None in a check not-testable; allowed is a word"),
        ("rule: {both: [{kind: [near]}]}", r"a check of kind \['near'\]; allowed are greater"),
        ("rule: {both: [near]}", "has the check 'near'; allowed is a mapping"),
        ("rule: {both: near}", "has 'near' in rule both; allowed is a list of checks"),
        ("rule: []", r"has rule \[\]; allowed is a mapping"),
        ("recorded: partly", "has recorded 'partly'; allowed is a mapping"),
        ("show: {a: 3}", "shows 'a' as 3; allowed are words"),
        ("show: {a: accuracy, b: accuracy}", "shows two numbers as accuracy; each has words of its own"),
        ("show: {'fig99:a': a}", "names the artifact 'fig99', which does not exist"),
        ("artifact: [table1]", r"has artifact \['table1'\]; allowed is a word"),
        ("section: 1", "has section 1; allowed is a word"),
        ("note: ''", "has note ''; allowed is a word"),
        ("amended: {rule: 6b18cf7}", "lacks record in amended"),
        ("amended: {rule: 6b18cf7, record: abcdef0 2026-11-22 22:31}", "has rule '6b18cf7' in amended; allowed is a commit"),
        ("amended: {rule: abcdef0 2026-11-22 22:31, record: abcdef0 2026-11-22 22:31}", "has amended without corrected"),
        ("paper: [1, 2]", r"has paper \[1, 2\]; allowed is a word or a finite number"),
    ],
)
def test_a_broken_entry_is_refused(broken, said, ledger):
    whole = {"section": "section: '1'", "show": "show: {a: accuracy}", "rule": "rule: {both: []}", "paper": "paper: p",
             "artifact": "artifact: table1", "recorded": "recorded: {}"}  # fmt: skip
    whole[broken.split(":")[0]] = broken
    ledger("\n  ".join(["- id: one", "claim: c", "quantity: q", *whole.values()]))
    with pytest.raises(claims.ClaimError, match=f"^claim one (?s:.)*{said}") as caught:
        claims.load()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("one: two", "book/claims.yml holds {'one': 'two'}; allowed is a list of claims"),
        ("- one", "claim number 1 is 'one'; allowed is a mapping"),
        ("\n".join(2 * ["- {id: one, section: '1', claim: c, artifact: table1, quantity: q, show: {}, rule: {}, paper: p}"]),
         "claim one is there twice; give each an id of its own"),
    ],
)  # fmt: skip
def test_a_ledger_that_is_no_list_of_claims_is_refused(text, said, ledger):
    ledger(text)
    with pytest.raises(claims.ClaimError) as caught:
        claims.load()
    assert str(caught.value) == said


@pytest.fixture
def ledger(tmp_path, monkeypatch):
    """Writes a ledger in place of the book's."""
    known = claims.experiments.load()
    monkeypatch.setattr(claims.settings, "ROOT", tmp_path)
    monkeypatch.setattr(claims.experiments, "load", lambda: known)
    (tmp_path / "book").mkdir()
    return lambda text: (tmp_path / "book" / "claims.yml").write_text(text + "\n")


# verdicts on seconds depend on the machine
SECONDS = ("epoch-cost", "minmax-cost")


def test_a_verdict_that_differs_from_the_record_is_named(monkeypatch):
    numbers = object.__new__(Numbers)  # as if read from files
    numbers.profile, numbers.here, numbers.edition, numbers.stated = "quick", VALUES.records, {}, VALUES.stated
    numbers.alone = False
    entry = claim(YES) | {"id": "one", "paper": "p", "recorded": {"quick": "partly"}}
    monkeypatch.setattr(claims, "load", lambda: [entry])
    assert claims.unexpected(numbers) == ["one: recorded partly, now reproduced"]
    entry["recorded"] = {"quick": "reproduced", "paper": "partly"}
    assert claims.unexpected(numbers) == []
    numbers.edition = VALUES.records
    assert claims.unexpected(numbers) == ["one (published edition): recorded partly, now reproduced"]


def test_the_published_editions_verdicts_are_those_on_record():
    numbers = Numbers("quick")
    assert [line for line in claims.unexpected(numbers) if "(published edition)" in line] == []
    verdicts = {claim["id"]: claim["verdicts"].get("published", {}).get("verdict") for claim in claims.judged(numbers)}
    recorded = [claim["id"] for claim in claims.load() if "paper" in claim.get("recorded", {})]
    assert [name for name, found in verdicts.items() if found != "not run" and name not in (*recorded, *SECONDS)] == []


@pytest.mark.parametrize(("before", "now", "way"), [
    ("not reproduced", "partly", 1), ("not reproduced", "not testable", 1), ("partly", "partly", 0),
    ("reproduced", "partly", -1), ("partly", "not reproduced", -1),
])  # fmt: skip
def test_amended_rules_are_counted_by_the_way_their_verdicts_moved(before, now, way):
    stamps = {"rule": "6b18cf7 2026-11-23 06:48", "record": "c48503b 2026-11-22 22:31"}
    entry = {"verdicts": {"published": {"verdict": now}}, "amended": stamps | {"was": before}}
    found = amended.counts([entry, {"verdicts": {}}, {"verdicts": {}, "amended": stamps}])
    assert (found["claims"], found["amended"], found["before"], found["after"]) == (3, 2, 1, 2)
    assert (found["toward"], found["same"], found["away"]) == (way > 0, way == 0, way < 0)


def test_every_claim_with_a_correction_names_its_commits_and_the_repository_dates_them_so():
    entries = claims.load()
    assert [entry["id"] for entry in entries if ("corrected" in entry) != ("amended" in entry)] == []
    for entry in entries:
        for key in ("rule", "record") if "amended" in entry else ():
            name, _, date = entry["amended"][key].partition(" ")
            command = ["git", "-C", str(claims.settings.ROOT), "log", "-1", "--format=%cI", name]
            done = subprocess.run(command, capture_output=True, text=True)
            # a checkout without its history cannot say
            assert done.returncode or done.stdout.startswith(date.replace(" ", "T")), entry["id"]


def test_the_rule_of_a_question_was_in_the_ledger_when_its_numbers_were_measured():
    for entry in (entry for entry in claims.load() if entry["section"] == claims.BEYOND):
        commit = findings.commit_of(findings.edition_dir(), entry["artifact"])
        if not commit:
            continue  # no numbers yet
        assert "ruled" in entry, entry["id"]
        command = ["git", "-C", str(claims.settings.ROOT), "show", f"{commit}:book/claims.yml"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            continue  # a checkout without its history cannot say
        then = {claim["id"]: claim for claim in yaml.safe_load(done.stdout)}
        assert then[entry["id"]]["rule"] == entry["rule"] and then[entry["id"]]["show"] == entry["show"], entry["id"]
        older = ["git", "-C", str(claims.settings.ROOT), "merge-base", "--is-ancestor", entry["ruled"].split()[0], commit]
        assert subprocess.run(older).returncode == 0, entry["id"]


def test_a_verdict_quoted_in_a_note_is_the_one_before():
    for entry in claims.load():
        quoted = re.search(r'verdict(?: on [\w-]+)? was "([^"]+)"', entry.get("corrected", ""))
        assert not quoted or entry["amended"]["was"] == quoted[1], entry["id"]
