"""The words of a page: numbers and facts filled in, paragraphs without their number left out, faults in one sentence."""

import pytest

from paperlib.record import Record
from press.page import claims, words
from press.page.template import BookError
from press.plan import experiments

VALUES = {
    "natural": {"rise": {"mean": 2.0, "low": 1.5, "high": 2.5, "n": 9, "unit": "nats"}, "clean": {
        "mean": 98.44, "low": 97.0, "high": 99.0, "n": 450}},
    "ratio": {"rise": {"mean": 1.2, "low": 0.9, "high": 1.4, "n": 9, "unit": "×"}},
}  # fmt: skip
LEAF = {"mean": 1.0, "low": 1.0, "high": 1.0, "n": 1}
DATA = {"name": "digits", "n": 12, "pixel_scale": 1}
CHAPTERS = {"claims": [claim | {"rule": "", "verdicts": {}} for claim in claims.load()], "paper": lambda *keys: "1"}
SURFACES = [key for key, entry in experiments.load()["artifacts"].items() if entry["notebook"] == "surfaces"]


def record(key: str = "fig06", profile: str = "paper", values: dict | None = None) -> Record:
    """A record of an artifact's parameters."""
    spec = experiments.artifact(profile, key)
    parameters = experiments.notebook_parameters(spec.notebook) | spec.parameters
    return Record(key, profile, parameters, DATA, {role: {} for role in spec.models}, values or {}, {})


@pytest.mark.parametrize(("text", "expected"), [
    ('Rises by {{ number("natural/rise") }}.', "Rises by 2 nats [1.5, 2.5]."),
    ('{{ number("natural/clean") }} at ε = {{ eps }}', "98.4 % [97.0, 99.0] at ε = 8/255"),
    ('{{ lies("ratio/rise", 1) }}, {{ lies("natural/rise", 1) }}', "not to be told from 1, above 1"),
    ('{{ number("robust/rise") }} is not at hand', ""), ('{{ lies("natural/rise/more", 0) }} neither', ""),
    ('Kept.\n\n{{ number("robust/rise") }} is not at hand\n\n- Kept as well.', "Kept.\n\n- Kept as well."),
    ("no number", "no number"),
])  # fmt: skip
def test_words_are_filled_with_numbers(text, expected):
    assert words.filled(text, record(values=VALUES), {"eps": "8/255"}, "a page") == expected


@pytest.mark.parametrize(("text", "sentence"), [
    ("{{ epsilon }}", "a page: 'epsilon' is undefined"),
    ('{{ number("natural") }}', "a page: a group of numbers was asked for as one; it has the keys rise, clean"),
    ("one\n{{ two", "a page, line 2: "),
])  # fmt: skip
def test_what_is_unknown_meets_one_sentence_with_the_page(text, sentence):
    with pytest.raises(BookError, match=f"^{sentence}"):
        words.filled(text, record(values=VALUES), {}, "a page")


def test_facts_are_parameters_and_what_the_drawings_know():
    found = words.facts("surfaces", record())
    assert found["eps"] == "0.3" and found["step"] == "0.05" and found["data"] == "scikit-learn's digits"
    assert found["n"] == 12 and found["attack_steps"] == 40


@pytest.mark.parametrize("key", SURFACES)
def test_every_figure_of_surfaces_has_its_words_without_any_number(key):
    found = words.words(key, "surfaces", record(key), CHAPTERS)
    assert (
        found.question.endswith("?")
        and found.reading.startswith(words.READING)
        and found.rest.startswith("## What it shows")
    )
    assert "## What differs from the paper" in found.rest


@pytest.mark.parametrize("profile", ["quick", "paper"])
@pytest.mark.parametrize("key", SURFACES)
def test_the_numbers_that_the_words_ask_for_are_taken(key, profile, monkeypatch):
    asked = []
    monkeypatch.setattr(words, "leaf_at", lambda values, path: asked.append(path) or LEAF)
    parameters = record(key, profile).parameters
    words.words(key, "surfaces", record(key, profile), CHAPTERS)
    taken = {*parameters["measures"], "clean", "correlation", "blank_from"}
    taken |= {"attacked"} if parameters["attacked"] else set()
    taken |= {"jacobian_norm", "curvature", "hessian_ce_norm"} if parameters["indicator"] else set()
    assert asked
    for path in asked:
        last = [part for part in path if part != "median"][-1]
        assert last in taken, path
        if path[0] in ("ratio", "paired") and last not in ("clean", "attacked"):
            assert "/".join(path) in parameters["compare"], path


def test_a_page_opens_with_its_answer_where_it_has_one(tmp_path, monkeypatch):
    page = tmp_path / "page.md"
    monkeypatch.setattr(words.experiments, "words_path", lambda key: page)
    texts = {
        "Why?\n\n**Answer.** So.\n\nAnd so.\n\n**How to read it.** Look.\n\nLook again.": ("**Answer.** So.\n\nAnd so.", 2),
        "Why?\n\nLook.\n\nLook again.": ("", 2), "Why?\n\n**Answer.** So.": ("**Answer.** So.", 0), "Why?": ("", 0),
    }  # fmt: skip
    for text, (answer, parts) in texts.items():
        page.write_text(text)
        found = words.words("fig06", "surfaces", record(), {})
        assert (found.question, found.answer) == ("Why?", answer)
        assert len([part for part in found.reading.split("\n\n") if part]) == parts


@pytest.mark.parametrize(("one", "two", "said"), [
    ((3, 4), (1, 2), "more than"), ((1, 2), (3, 4), "less than"), ((1, 3), (2, 4), "as much, within the intervals, as"),
])  # fmt: skip
def test_two_intervals_are_told_apart_only_where_they_do_not_meet(one, two, said):
    leaves = {name: {"mean": sum(ends) / 2, "low": ends[0], "high": ends[1]} for name, ends in (("a", one), ("b", two))}
    text = words.filled('{{ versus("a", "b") }}, {{ above("a", "b") }}', record(values=leaves), {}, "a page")
    assert text == f"{said}, {said == 'more than'}"


def test_numbers_of_a_record_stand_as_dots_and_none_where_it_lacks_them():
    text = words.filled('{{ dots("Rise", {"natural/rise": "natural", "no/rise": "none"}) }}\n\n'
                        '{{ dots("No", {"no/rise": "none"}) }}', record(values=VALUES), {}, "a page")  # fmt: skip
    assert (
        text.count("<figure") == 1
        and "2 nats <small>[1.5, 2.5]</small>" in text
        and "none" not in text
        and "\n\n" not in text
    )
