"""Whatever stands in a file that is read: it is taken, or refused in one sentence, and nothing else happens."""

import json

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from toys import toy_dataset, toy_recipe

from paperlib import record as records
from paperlib import sealed
from paperlib.refusal import Refusal
from paperlib.train import STATE, fit, load_state, save_state
from press.page import claims
from press.plan import check, experiments
from press.plan.settings import ExperimentError, parse_overrides, read_yaml

SHORT = settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
WORDS = st.sampled_from(
    ["recipes", "artifacts", "quick", "columns", "searches", "a", "fig01", "data", "digits", "models", "eps"]
)
PLAIN = st.none() | st.booleans() | st.integers(-3, 3) | st.floats() | st.text(max_size=5) | WORDS
NESTED = st.recursive(
    PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS | PLAIN, inner, max_size=4), max_leaves=12
)


def refused(read) -> bool:
    """Whether ``read`` refuses, in one sentence; any other error is this test's failure."""
    try:
        read()
    except Refusal as error:
        assert "\n" not in str(error) and str(error).strip()
        return True
    return False


@SHORT
@given(st.text(max_size=60) | st.binary(max_size=60))
def test_any_text_is_yaml_or_a_sentence(tmp_path, text):
    path = tmp_path / "a.yml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
    refused(lambda: read_yaml(path))


@SHORT
@given(st.text(alphabet="abe=[]{},:'\"0.1- \n&*!|#", max_size=30))
def test_any_parameters_are_taken_or_a_sentence(text):
    refused(lambda: parse_overrides(text))


@pytest.fixture
def book(tmp_path, monkeypatch):
    """Writes ``experiments.yml`` and ``claims.yml`` of one's own."""
    monkeypatch.setattr(experiments.settings, "ROOT", tmp_path)
    (tmp_path / "book").mkdir()
    (tmp_path / "notebooks").mkdir()

    def write(content: object) -> None:
        experiments._load.cache_clear()
        # JSON is YAML
        text = json.dumps(content, skipkeys=True)
        (tmp_path / "experiments.yml").write_text(text)
        (tmp_path / "book" / "claims.yml").write_text(text)

    yield write
    experiments._load.cache_clear()


@SHORT
@given(NESTED)
@example("\n")
def test_any_settings_are_in_order_or_a_sentence(book, content):
    book(content)
    refused(experiments.load)
    book({"recipes": {"quick": content}, "artifacts": {"fig01": content}})
    refused(lambda: check.check("quick"))
    book({"recipes": {"quick": {"a": content}}, "artifacts": {}, "columns": content, "searches": content})
    refused(lambda: check.check("quick"))
    entry = {"notebook": "n", "place": "p", "title": "t", "quick": content}
    book({"recipes": {"quick": {"a": {}}}, "artifacts": {"fig01": entry}})
    refused(lambda: check.check("quick"))


@SHORT
@given(NESTED)
def test_any_claims_are_claims_or_a_sentence(book, content):
    book({"recipes": {}, "artifacts": {}})
    path = experiments.settings.ROOT / "book" / "claims.yml"
    for each in (content, [content], [{"id": content}], [{"id": "a", "rule": content, "show": content}]):
        path.write_text(json.dumps(each, skipkeys=True))
        refused(claims.load)


@SHORT
@given(st.dictionaries(st.sampled_from(["artifact", "values", "models", records.ARRAYS, "data"]) | st.text(max_size=3),
                       st.none() | st.text(max_size=3) | st.dictionaries(st.text(max_size=3), st.integers(), max_size=2)),
       st.integers(0, 10_000), st.integers(0, 255))  # fmt: skip
def test_any_record_is_whole_or_a_sentence(tmp_path, content, place, byte):
    path = tmp_path / "fig01.json"
    sealed.write_json(path, content)
    refused(lambda: records.content_of(path))
    whole = bytearray(path.read_bytes())
    whole[place % len(whole)] = byte
    path.write_bytes(whole)
    # between the words of JSON one blank may stand for another
    if not refused(lambda: sealed.read_json(path)):
        assert sealed.read_json(path) == {key: value for key, value in content.items() if key != sealed.FIELD}


@SHORT
@given(st.dictionaries(st.sampled_from(STATE), st.none() | st.integers() | st.text(max_size=3)))
def test_any_state_is_one_or_a_sentence(tmp_path, state):
    path = tmp_path / "a.state.pt"
    save_state(state, path)
    assert refused(lambda: load_state(path)) == (not set(STATE) <= set(state))


@pytest.mark.parametrize("content", [b"", b"\x80\x02.", b"PK\x03\x04", b"words"])
def test_sealed_bytes_that_are_no_state_are_a_sentence(tmp_path, content):
    sealed.write(tmp_path / "a.state.pt", content)
    assert refused(lambda: load_state(tmp_path / "a.state.pt"))


def test_a_recipe_of_other_data_is_not_trained():
    with pytest.raises(Refusal, match="^dataset is 'stripes'; allowed is that of the recipe, 'digits'$"):
        fit(toy_recipe(data="digits"), toy_dataset(), progress=False)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"a: \x07", "a.yml cannot be read: unacceptable character #x0007"),
        (b"\xff\xfe\x00", "a.yml is no text in UTF-8 (invalid start byte at byte 0)"),
        (b"? [a]\n: b\n", "a.yml cannot be read: unhashable type: 'list'"),
        (b"[" * 3000, "a.yml cannot be read: maximum recursion depth exceeded"),
        (b"a: !!python/object:os.system {}", "a.yml, line 1: could not determine a constructor for the tag"),
    ],
)
def test_what_is_no_yaml_is_named(tmp_path, content, sentence):
    (tmp_path / "a.yml").write_bytes(content)
    with pytest.raises(ExperimentError) as caught:
        read_yaml(tmp_path / "a.yml")
    assert str(caught.value).startswith(sentence)


def test_a_state_of_torch_alone_is_no_state(tmp_path):
    torch.save({"epoch": 1}, tmp_path / "a.state.pt")
    assert refused(lambda: load_state(tmp_path / "a.state.pt"))
