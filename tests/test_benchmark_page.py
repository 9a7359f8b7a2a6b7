"""The page of the benchmark: goals beside what was measured, what was missed, and the picture."""

import pytest

from paperlib import sealed
from press.page import benchmark, vocabulary
from press.page.template import filled
from press.page.values import Numbers
from press.plan import settings

SECONDS = {"mean": 2.0, "low": 1.5, "high": 2.5, "n": 3, "unit": "s"}


def case(ratio: float) -> dict:
    leaf = {"mean": ratio, "low": ratio, "high": ratio, "n": 3, "unit": "×", "peer": "adv-lib"}
    seconds = {"ours": SECONDS, "adv-lib": SECONDS | {"mean": 2.0 * ratio}}
    accuracy = {"ours": 61.2, "adv-lib": [60.6, 1.0]}
    return {"ratio": leaf, "processor_ratio": leaf, "seconds": seconds, "processor": seconds, "accuracy": accuracy}


def row(title: str, ratio: float, goal: float) -> dict:
    return {"title": title, "goal": goal, "ratio": ratio, "processor_ratio": ratio + 0.1, "cases": {"ours": case(ratio)}}


@pytest.fixture
def record(tmp_path, monkeypatch) -> dict:
    unequal = {"title": "A third", "goal": 4.0, "unequal": ["ours is 1 and theirs 2"], "cases": {}}
    growth = {"time": {"images": {"sizes": [1, 2], "seconds": [0.5, 1.0], "exponent": 1.0, "words": "images, BIM"}},
              "memory": {"images": {"500": 10.2, "2000": 11.4}, "points": {"21": 1.0, "81": 1.1}}}  # fmt: skip
    content = {
        "values": {
            "bim": row("First work", 1.75, 1.5), "input_surface": row("Second work", 4.5, 6.0), "worst": unequal,
            "epoch": {"title": "Epoch", "most": 2.3, "over_natural": SECONDS | {"unit": "×"}, "seconds": {}},
            "growth": growth, "shares": {"input_surface": 64.7},
        },
        "environment": {"machine": {"processor": "A chip", "system": "Linux", "threads": 2}, "packages": {"torch": "2"}},
        "peers": {"adv_lib": "0.2.8"}, "not_measured": "It does not measure love.",
    }  # fmt: skip
    sealed.write_json(tmp_path / "bench.json", content)
    monkeypatch.setattr(benchmark.places, "benchmark", lambda: tmp_path / "bench.json")
    return content


def page() -> str:
    vocabulary.names.cache_clear()
    text = (settings.ROOT / "book" / "speed.md").read_text(encoding="utf-8")
    return filled(text, vocabulary.names(Numbers("quick")), "book/speed.md")


def test_goals_stand_beside_what_was_measured(record):
    text = page()
    assert "| First work | 1.50 × | 1.75 × | 1.85 × | yes |" in text.replace("1.5 ×", "1.50 ×")
    assert "| Second work | 6 × | 4.50 × | 4.60 × | missed by 25 % |" in text
    assert "results differ: ours is 1 and theirs 2" in text
    assert "**Second work**" in text and "65 % of our processor time" in text and "**First work**" not in text
    assert "2.0 × [1.5, 2.5]" in text.replace("2 × ", "2.0 × ") and "A chip" in text and "It does not measure love." in text
    assert "adv-lib: 60.6 / 1.0" in text and "size to the power 1.00" in text
    assert "| Attack | 500 images | 10 |" in text and "| Attack | 2000 images | 11 |" in text


def test_a_book_without_a_benchmark_says_how_to_make_one(tmp_path, monkeypatch):
    monkeypatch.setattr(benchmark.places, "benchmark", lambda: tmp_path / "none.json")
    assert "No benchmark is on record" in page()
    benchmark.draw(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_picture_is_drawn_and_the_same_every_time(record, tmp_path):
    drawn = []
    for _ in range(2):
        benchmark.draw(tmp_path)
        drawn.append((tmp_path / benchmark.PICTURE).read_bytes())
    assert drawn[0] == drawn[1] and drawn[0].startswith(b"\x89PNG")


def test_a_damaged_record_is_refused(record):
    benchmark.places.benchmark().write_text("{}")
    with pytest.raises(sealed.DamagedError, match="damaged"):
        benchmark.benchmark()
