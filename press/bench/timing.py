"""Calls that take turns, so that what slows the machine slows all of them; seconds on the clock and of the processor."""

import math
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from paperlib.intervals import Interval, interval
from paperlib.refusal import Refusal

Calls = Mapping[str, Callable[[], object]]


class UnequalError(Refusal):
    """Two ways of doing the same work came to different results; one sentence with both."""


@dataclass(frozen=True)
class Case:
    """One piece of work, done ``ours`` and by ``peers``.

    ``compare`` takes the results by name (``ours`` and the peers') and returns numbers for the record, or raises
    UnequalError.
    """

    name: str
    ours: Callable[[], object]
    peers: Calls
    compare: Callable[[dict], dict] = field(default=lambda results: {})


def measured(case: Case, rounds: int) -> dict:
    """What comparing the case's results says, and its seconds: those of the first turn, which warms up and is compared, do
    not count unless it is the only one (``rounds`` is 0).

    ``seconds`` and ``processor``: by name a median with its interval; ``ratio``: the fastest peer's seconds over ours, round
    by round, and ``processor_ratio`` the same for the processor's.
    """
    calls = {"ours": case.ours} | dict(case.peers)
    results, first = {}, {}
    for name, call in calls.items():
        results[name], *first[name] = _timed(call)
    values = case.compare(results)
    del results
    turns = {name: [] if rounds else [tuple(taken)] for name, taken in first.items()}
    for k in range(rounds):
        names = list(calls)
        # each round begins with another one
        for name in names[k % len(names) :] + names[: k % len(names)]:
            turns[name].append(_timed(calls[name])[1:])
    return values | compared(turns)


def compared(turns: Mapping[str, list[tuple[float, float]]]) -> dict:
    """Seconds and ratios of ``ours`` and the peers, from (clock, processor) of every turn by name."""
    found: dict = {}
    for which, seconds, ratio in ((0, "seconds", "ratio"), (1, "processor", "processor_ratio")):
        taken = {name: [turn[which] for turn in each] for name, each in turns.items()}
        found[seconds] = {name: interval(each, "s", how="median") for name, each in taken.items()}
        rivals = [name for name in taken if name != "ours"]
        if rivals:
            fastest = min(rivals, key=lambda name: statistics.median(taken[name]))
            ratios = [theirs / ours for theirs, ours in zip(taken[fastest], taken["ours"], strict=True)]
            found[ratio] = interval(ratios, "×", how="median") | {"peer": fastest}
    return found


def geometric(ratios: list[Interval]) -> float:
    """The geometric mean of several ratios' medians."""
    return math.exp(statistics.fmean(math.log(each["mean"]) for each in ratios))


def _timed(call: Callable[[], object]) -> tuple[object, float, float]:
    clock, processor = time.perf_counter(), time.process_time()
    result = call()
    return result, time.perf_counter() - clock, time.process_time() - processor
