"""``make bench``: every row in turn, kept as it is done, and one record in the end."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from paperlib import fingerprint, sealed
from paperlib.numbers import formatted
from paperlib.provenance import environment, git_commit
from paperlib.refusal import reject
from press.bench import growth, rows, shares, timing, training
from press.bench.peers import VERSIONS, peer
from press.plan import settings
from press.run import places

# what the figures are of, before any of them
HEADER = """Our work beside other libraries', on this machine, in one process and in turns; results are compared first.
It does not measure: how long the book takes to build or to install; an accelerator; other networks than those of MNIST
and the CIFAR ConvNet that are published here; other libraries in other settings than those that their documentation shows.
A figure decides nothing: no test passes or fails by it."""


def place() -> Path:
    """Where the parts and the record are made."""
    return settings.ROOT / "build" / "bench"


def bench(*, wanted: list[str] | None = None) -> dict:
    """Times every row that this code has not timed on this machine yet, and writes the record of all.

    ``wanted``: keys of the rows, all by default. Raises PeerError or DataError, before anything is timed, where a library or
    the images are missing.
    """
    parts: dict[str, Callable[[], dict]] = {row.key: lambda row=row: _row(row) for row in rows.ROWS}
    parts |= {"epoch": training.epoch, "growth": growth.growth, "shares": shares.shares}
    for key in wanted or ():
        reject(key not in parts, f"row is {key!r}; allowed are {', '.join(parts)}")
    parts = {key: parts[key] for key in wanted or parts}
    places.say(HEADER)
    for name in VERSIONS:
        peer("adv_lib.attacks" if name == "adv_lib" else name)
    rows.network("ours")
    began, found = time.monotonic(), {}
    with places.lock("bench", "bench"):
        for key, measure in parts.items():
            found[key] = _kept(key, measure)
            places.say(f"{key}: {_said(found[key])} ({time.monotonic() - began:.0f} s so far)")
        record = {
            "artifact": "bench", "values": found, "environment": environment(), "git_commit": git_commit(),
            "peers": VERSIONS, "finished": datetime.now(UTC).isoformat(timespec="seconds"), "not_measured": HEADER,
        }  # fmt: skip
        sealed.write_json(place() / "bench.json", record)
    return record


def publish() -> Path:
    """Puts the last record where the book shows it. Raises DamagedError where there is none."""
    sealed.write_json(places.benchmark(), sealed.read_json(place() / "bench.json"))
    return places.benchmark()


def _row(row: rows.Row) -> dict:
    cases, unequal = {}, []
    for case in row.cases():
        try:
            cases[case.name] = timing.measured(case, row.rounds)
        except timing.UnequalError as error:
            unequal.append(str(error))
    if unequal:
        return {"title": row.title, "goal": row.goal, "unequal": unequal, "cases": cases}
    ratio = timing.geometric([case["ratio"] for case in cases.values()])
    processor = timing.geometric([case["processor_ratio"] for case in cases.values()])
    return {"title": row.title, "goal": row.goal, "ratio": ratio, "processor_ratio": processor, "cases": cases}


def _kept(key: str, measure: Callable[[], dict]) -> dict:
    """A part of the record: what this code has found on this machine before, or now."""
    path, made_of = place() / f"{key}.json", _made_of(key)
    former = places.whole(sealed.read_json, path)
    if former is None or former["made_of"] != made_of:
        former = {"made_of": made_of, "values": measure()}
        sealed.write_json(path, former)
    return former["values"]


def _made_of(key: str) -> str:
    """What a part is of: the code that is timed and times, the packages, the machine."""
    here = sorted(Path(__file__).resolve().parent.glob("*.py"))
    source = "".join(path.read_text(encoding="utf-8") for path in here)
    code = fingerprint.code_digest([*here, *fingerprint.module_paths(source)])
    return fingerprint.digest(key, code, environment(), VERSIONS)


def _said(part: dict) -> str:
    if "over_natural" in part:
        return f"{formatted(part['over_natural'])} (at most {part['most']:g} wanted)"
    if "unequal" in part:
        return f"not compared: {'; '.join(part['unequal'])}"
    if "goal" not in part:
        return "done"
    return f"{part['ratio']:.2f} × by the clock, {part['processor_ratio']:.2f} × of the processor (goal {part['goal']:g})"
