"""The book's text: every number, reference, link and rule that it names exists, and no number is typed by hand."""

import json
import re
from pathlib import Path
from types import SimpleNamespace

import house
import jinja2
import pytest
import yaml

from paperlib import names
from paperlib.__main__ import parser as own_parser
from press.__main__ import parser as book_parser
from press.page import amended, answers, findings, library
from press.page.claims import BEYOND, CHECKS, FIELDS, PROFILES, VERDICTS
from press.page.columns import Columns
from press.plan import experiments, settings, templates
from press.plan.experiments import build_dir
from press.plan.settings import ROOT

BOOK = ROOT / "book"
CHAPTERS = sorted(BOOK.glob("*.md"))
COLUMNS = ("value", "published", "paper")
TEXTS = {"path", "why", "paper"}
FIGURES = {"low", "high", "margin", "tolerance"}


def read(path: Path) -> object:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


CLAIMS = read(BOOK / "claims.yml")
NUMBERS = read(BOOK / "paper_numbers.yml")
ARTIFACTS = read(ROOT / "experiments.yml")["artifacts"]
STATUS = [
    {"key": "a", "title": "run", "paper": "Fig. 1", "link": "[Fig. 1](x)", "seconds": 1.5, "sha256": "ab" * 32},
    {"key": "b", "title": "absent", "paper": "Fig. 2", "link": "Fig. 2", "seconds": None, "sha256": None},
]


def lookup(node: object, path: list[str]) -> object:
    """What lies at ``path``, or None; ``@1`` is the second key of a level."""
    for key in path:
        if not isinstance(node, dict):
            return None
        if re.fullmatch(r"@\d", key):
            items = list(node.values())
            node = items[int(key[1:])] if int(key[1:]) < len(items) else None
        else:
            node = node.get(key)
    return node


def is_number(path: list[str]) -> bool:
    """Whether the paper gives a number (or a bound such as "> 10") at this path."""
    return isinstance(lookup(NUMBERS, path), int | float | str)


def results(artifact: str) -> list[dict]:
    """The values of this artifact in the quick run and in the published edition, where they exist.

    None as long as the quick run lacks what it will have: the edition has other networks, and not all numbers of it.
    """
    folders = (build_dir("quick") / "results", BOOK / "published" / "results")
    files = [folder / f"{artifact}.json" for folder in folders]
    if "quick" in ARTIFACTS[artifact] and not files[0].is_file():
        return []
    return [json.loads(file.read_text(encoding="utf-8"))["values"] for file in files if file.is_file()]


def missing_in_results(paths: list[tuple[str, list[str]]]) -> list[tuple[str, list[str]]]:
    """The paths that no result at hand has, of artifacts that have one; skips the test where there is none at all."""
    at_hand = {artifact: results(artifact) for artifact, _ in paths}
    if not any(at_hand.values()):
        pytest.skip("no results at hand: `make book` makes them")
    return [(a, keys) for a, keys in paths if at_hand[a] and all(lookup(v, keys) is None for v in at_hand[a])]


def split(path: str, artifact: str) -> tuple[str, list[str]]:
    """``table2:ours/clean`` -> (table2, [ours, clean]); without a name the claim's own artifact."""
    name, colon, rest = path.rpartition(":")
    return (name if colon else artifact), rest.split("/")


def judged(verdicts: dict) -> list[dict]:
    """All claims as a chapter gets them, each with these verdicts."""
    return [claim | {"rule": "", "verdicts": verdicts} for claim in CLAIMS]


def rendered(path: Path, calls: list | None = None, claims: list | None = None, alone: bool = False) -> str:
    """The chapter with every number replaced by the word VALUE; calls are noted as (function, artifact, keys)."""
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined)

    def noting(name: str, text: str):
        def function(artifact: str, *keys: str) -> str:
            if calls is not None:
                calls.append((name, artifact, keys))
            return text

        return function

    environment.globals |= {name: noting(name, "VALUE") for name in COLUMNS}
    environment.globals |= {"page": noting("page", "[page](figures/fig01.md)"), "profile": "quick", "artifacts": PLACES}
    known = claims or judged({})
    apart = {beyond: [claim for claim in known if (claim["section"] == BEYOND) == beyond] for beyond in (False, True)}
    questions = [claim | {"measured_at": "0123456789"} for claim in apart[True]]
    environment.globals |= {"alone": alone, "claims": apart[False], "questions": questions, "status": lambda: STATUS}
    environment.globals |= EDITION | {"library": lambda: "", "badge": answers.badge} | answers.helpers(known)
    environment.globals |= {"amended": amended.counts(known), "amendments": amended.table(known)}
    environment.globals |= {"headline": lambda artifact, title: title, "surface": lambda key, panels: key}
    columns = Columns(SimpleNamespace(alone=alone, **{name: environment.globals[name] for name in COLUMNS}))
    environment.globals |= {"head": columns.head, "line": columns.line, "row": columns.row}
    environment.globals["compared"] = lambda *rows, title="": "\n".join([title, *(columns.row(*row) for row in rows)])
    return environment.from_string(path.read_text(encoding="utf-8")).render()


PLACES = {key: {"paper": entry["place"]} for key, entry in ARTIFACTS.items()}
LEAF = {"mean": 0.5, "low": 0.4, "high": 0.6, "n": 10}
FOUND = {"name": "net", "reference": {"clean": LEAF, "worst": LEAF}, "settings": {"eps": 1, "slack": 1, "n": 10},
         "chosen": {}, "candidates": [{"changes": {"p": "1", "c": 0.5}, "clean": LEAF, "worst": LEAF, "allowed": True,
                                       "strong": LEAF}], "strong": {"chosen": {"p": "1", "c": 0.5}, "images": 10},
         }  # fmt: skip
COUNTS = {"tried": 1, "healed": 1, "refused": 0, "lost": 0, "wrong": 0, "tracebacks": 0}
FAULTS = {"seed": 0, "started": "2026-01-01", "seconds": 60, "unsaid": 0, "machine": {"system": "Linux", "cores": 2},
          "rows": [{"kind": "a kill"} | COUNTS], "all": COUNTS}  # fmt: skip
EDITION = {
    "faults": lambda: FAULTS, "benchmark": None,
    "networks": lambda: [{"name": "net", "hours": 1, "network": "mnist", "precision": "fp32", "penalty": "",
                          "images": 1, "epochs": 1, "seconds": 1, "weights": True, "brief": False}],
    "lacking": lambda: ["Table 2"], "searches": lambda: [FOUND], "sizes": lambda: ["paper"],
    "test_images": lambda: {"MNIST": "all 10,000 test images"}, "agreement": findings.agreement,
    "at_equal_norm": lambda: [{"data": "mnist", "p": "1", "ours": LEAF, "crossentropy": LEAF}],
    "seeds": lambda: {"a": 3, "b": 1},
    "interval": lambda leaf: "VALUE",
    "methods": names.labels(names.METHODS), "attacks": names.labels(names.ATTACKS),
    "cells": lambda artifact: [{"method": "ours", "attack": "bim", "eps": "0.1", "paper": 1.0, "here": LEAF, "inside": True,
                                "difference": 1.0, "gain": 1.0, "gain_paper": 1.0}],
}  # fmt: skip


def prose() -> str:
    """All chapters as they are written."""
    return "\n".join(path.read_text(encoding="utf-8") for path in CHAPTERS)


# --- chapters --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_a_chapter_renders_completely_and_names_only_artifacts_that_exist(path):
    calls = []
    text = rendered(path, calls)
    assert not re.search(r"\{\{|\}\}|\{%|\{#", text), "braces left over: in LaTeX write { { instead"
    assert {artifact for _, artifact, _ in calls} <= ARTIFACTS.keys()


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_no_percentage_is_typed_by_hand(path):
    assert set(re.findall(r"\d[\d.]* ?%", rendered(path))) <= {"95 %"}


def test_the_papers_numbers_that_the_prose_quotes_are_in_paper_numbers():
    calls = re.findall(r"\bpaper\(('[^)]*')\)", prose())
    paths = [[word.strip(" '") for word in call.split(",")] for call in calls]
    assert len(paths) > 10
    assert [path for path in paths if not is_number(path)] == []


def test_the_runs_numbers_that_the_prose_quotes_are_in_the_results_at_hand():
    calls = []
    for path in CHAPTERS:
        rendered(path, calls)
    # AutoAttack's package is optional, so a run may lack its numbers
    quoted = {(a, keys) for name, a, keys in calls if name in ("value", "published") and "autoattack" not in keys}
    assert missing_in_results([(artifact, list(keys)) for artifact, keys in sorted(quoted)]) == []


def test_every_citation_is_in_the_bibliography_and_the_reverse():
    cited = {key.strip() for keys in re.findall(r"\{cite:[a-z]+\}`([^`]+)`", prose()) for key in keys.split(",")}
    known = re.findall(r"^@\w+\{([^,]+),", (BOOK / "references.bib").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(known) == len(set(known))
    assert cited == set(known)


def test_equations_one_to_twelve_are_labelled_once_and_in_reading_order():
    labels = re.findall(r"^\$\$ \((\w+)\)$", prose(), re.MULTILINE)
    assert labels == [f"eq{number}" for number in range(1, 13)]


def test_mathematics_needs_no_extension_that_mathjax_would_have_to_load():
    macros = r"\\(boldsymbol|bm|cancel|color|textcolor|require|ce|qty|braket|mathtools|unicode|html\w+)\b"
    sources = [*CHAPTERS, *(ROOT / "notebooks").glob("*.ipynb")]
    assert [path.name for path in sources if re.search(macros, path.read_text(encoding="utf-8"))] == []


def test_links_between_chapters_lead_somewhere():
    ids = {f"claim-{claim['id']}" for claim in CLAIMS}
    for path in CHAPTERS:
        text = rendered(path, claims=judged({"run": {"verdict": "partly", "ours": "1"}}))
        targets = re.findall(r"\]\(([^)\s]+)\)", text)
        inside = [target for target in targets if not target.startswith(("http", "figures/")) and target != "x"]
        assert [target for target in inside if target not in ids and not (BOOK / target).is_file()] == [], path.name


def test_the_table_of_contents_has_every_chapter_and_every_artifact_once():
    files = re.findall(r"file: (\S+)", (BOOK / "_toc.yml").read_text(encoding="utf-8"))
    figures = {file.removeprefix("figures/") for file in files if file.startswith("figures/")}
    chapters = {file for file in files if not file.startswith("figures/")}
    assert len(files) == len(set(files))
    assert figures == ARTIFACTS.keys()
    assert chapters | {read(BOOK / "_toc.yml")["root"]} == {path.stem for path in CHAPTERS}


def test_the_api_page_documents_every_module():
    listed = [name for text in library.pages().values() for name in re.findall(r"automodule:: (\S+)", text)]
    assert listed[:2] == ["paperlib.objective", "paperlib.attack"]
    assert re.findall(r"\]\(module-of-(\S+)\)", library.library()) == listed
    assert [name for text in library.pages().values() for name in re.findall(r"(?m)^\(module-of-(\S+)\)=$", text)] == listed
    assert list(library.pages()) == [package for _, package, _ in library.PARTS]
    whole = {name for name, path in house.modules().items() if path.stem != "__init__"}
    assert set(listed) == whole
    assert len(listed) == len(set(listed))


def test_nothing_of_the_books_own_files_loads_from_outside():
    files = [*CHAPTERS, BOOK / "_static" / "custom.css", ROOT / "_config.yml"]
    loading = r"""(src|url)\s*[=(]\s*["']?(https?:)?//|@import|<(script|link|iframe)\b"""
    assert [file.name for file in files if re.search(loading, file.read_text(encoding="utf-8"))] == []


def test_mathjax_and_its_fonts_lie_with_the_book():
    path = BOOK / "_static" / read(ROOT / "_config.yml")["sphinx"]["config"]["mathjax_path"]
    assert path.is_file()
    assert list(path.parent.glob("output/chtml/fonts/woff-v2/*.woff"))


# --- pages made of verdicts ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verdict", sorted(VERDICTS))
def test_a_verdict_appears_on_the_pages_that_collect_it(verdict):
    claims = judged({"run": {"verdict": verdict, "ours": "MEASURED"}})
    names = ("intro", "claims", "what-reproduces", "what-does-not")
    pages = {name: rendered(BOOK / f"{name}.md", claims=claims) for name in names}
    of_paper = sum(claim["section"] != BEYOND for claim in CLAIMS)
    assert f"| {verdict} | {of_paper if verdict == 'not run' else 0} | {of_paper} |" in pages["intro"]
    assert pages["claims"].count("MEASURED") == len(CLAIMS)
    assert pages["claims"].count(f"| This run | {answers.badge(verdict)} |") == len(CLAIMS)
    assert pages["what-reproduces"].count("MEASURED") == (of_paper if verdict == "reproduced" else 0)
    bad = verdict in ("partly", "not reproduced", "undecided", "not testable")
    assert pages["what-does-not"].count("MEASURED") == (of_paper if bad else 0)


def test_the_published_verdict_counts_more_than_this_run():
    both = judged({"published": {"verdict": "reproduced", "ours": "OLD"}, "run": {"verdict": "partly", "ours": "NEW"}})
    assert "OLD" in rendered(BOOK / "what-reproduces.md", claims=both)
    assert "No claim has been judged yet." not in rendered(BOOK / "what-reproduces.md", claims=both)
    assert "NEW" not in rendered(BOOK / "what-does-not.md", claims=both)


def test_the_artifacts_page_shows_what_ran_and_what_did_not():
    text = rendered(BOOK / "artifacts.md")
    assert "| `a` | [Fig. 1](x): run | 2 | `abababababab` |" in text
    assert "| `b` | Fig. 2: absent | not run | not run |" in text


# --- the paper's numbers ---------------------------------------------------------------------------------------------


def test_paper_numbers_belong_to_artifacts():
    assert NUMBERS.keys() <= ARTIFACTS.keys()


@pytest.mark.parametrize(
    ("table", "models", "sizes"),
    [
        ("table1", "natural advtrain crossentropy ours", ["0.1", "0.2", "0.3"]),
        ("table2", "natural advtrain crossentropy ours ours+advtrain minmax", ["3", "6", "9"]),
    ],
)
def test_the_papers_tables_are_complete_and_fall_with_the_size_of_the_attack(table, models, sizes):
    rows = {name: row for name, row in NUMBERS[table].items() if name != "settings"}
    assert list(rows) == models.split()
    for row in rows.values():
        assert list(row) == ["clean", "fgsm", "bim", "cw"]
        for attack in ("fgsm", "bim", "cw"):
            assert list(row[attack]) == sizes
            cells = [row["clean"], *row[attack].values()]
            assert cells == sorted(cells, reverse=True)
            assert cells[-1] >= 0 and cells[0] <= 100


# --- claims ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim["id"])
def test_a_claim_is_complete(claim):
    needed, optional = FIELDS
    assert needed <= claim.keys() <= needed | optional
    assert re.fullmatch(r"[a-z0-9-]+", claim["id"])
    assert claim["artifact"] in ARTIFACTS
    assert claim["rule"].keys() in ({"both"}, PROFILES)
    assert claim.get("recorded", {}).keys() <= PROFILES
    assert set(claim.get("recorded", {}).values()) <= set(VERDICTS)


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim["id"])
def test_a_claims_texts_fit_a_tables_cell_and_hold_no_typed_percentage(claim):
    fields = ("claim", "quantity", "paper", "note", "corrected")
    texts = [*(claim.get(field, "") for field in fields), *claim["show"].values()]
    assert not any("|" in text for text in texts)
    assert not any(re.search(r"\d[\d.]* ?%", text) for text in texts)


def test_claims_are_many_and_their_names_unique():
    ids = [claim["id"] for claim in CLAIMS]
    assert len(ids) == len(set(ids)) >= 22


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim["id"])
def test_the_checks_of_a_rule_are_well_formed(claim):
    for rule in claim["rule"].values():
        assert len(rule) == 1 or all(check["kind"] != "not-testable" for check in rule)
        for check in rule:
            needed, optional = CHECKS[check["kind"]]
            assert needed <= check.keys() - {"kind"} <= needed | optional
            assert all(isinstance(check[key], str) for key in TEXTS & check.keys())
            assert all(isinstance(check[key], int | float) for key in FIGURES & check.keys())
            assert check.get("low", 0) < check.get("high", 1)


def test_a_rule_that_compares_with_the_paper_finds_the_papers_number():
    near = [(c, check) for c in CLAIMS for rule in c["rule"].values() for check in rule if "tolerance" in check]
    assert len(near) > 5
    for claim, check in near:
        artifact, keys = split(check["path"], claim["artifact"])
        path = check["paper"].split("/") if "paper" in check else [artifact, *keys]
        assert isinstance(lookup(NUMBERS, path), int | float), path


def test_numbers_that_a_claim_quotes_are_the_papers():
    quoted = [path for claim in CLAIMS for path in re.findall(r"\{([^}]+)\}", claim["paper"])]
    assert len(quoted) > 20
    assert [path for path in quoted if not is_number(path.split("/"))] == []


def test_paths_of_claims_belong_to_artifacts():
    paths = [split(path, claim["artifact"]) for claim in CLAIMS for path in claim["show"]]
    assert {artifact for artifact, _ in paths} <= ARTIFACTS.keys()


def test_paths_of_claims_are_in_the_results_at_hand():
    assert missing_in_results([split(path, claim["artifact"]) for claim in CLAIMS for path in claim["show"]]) == []


# --- instructions ----------------------------------------------------------------------------------------------------


def test_the_command_that_makes_a_figure_again_names_parameters_that_exist():
    commands = re.findall(r"make figure FIG=(\w+) P='([^']*)'", prose())
    assert commands
    for artifact, changes in commands:
        spec = experiments.artifact("quick", artifact)
        changed = experiments.override(spec, settings.parse_overrides(changes))
        assert changed.parameters != spec.parameters


def test_papermill_is_called_with_parameters_that_exist():
    (notebook, options), *_ = re.findall(r"papermill notebooks/(\w+)\.ipynb \S+ (.*)", prose())
    names = re.findall(r"-p (\w+) ", options)
    assert names
    assert set(names) <= templates.notebook_parameters(notebook).keys()


def test_the_commands_that_the_book_names_exist():
    for package, parser in (("paperlib", own_parser), ("press", book_parser)):
        named = set(re.findall(rf"python -m {package} (\w+)", prose()))
        assert named
        assert [name for name in named if not re.search(rf"(?m)^    {name}\b", parser().format_help())] == []


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_a_book_of_the_edition_alone_speaks_of_no_other_run(path):
    claims = judged({"published": {"verdict": "partly", "ours": "1"}, "run": {"verdict": "partly", "ours": "1"}})
    assert "his run" not in rendered(path, claims=claims, alone=True)
