"""Refusing what does not fit: one sentence that names the parameter, its value and what is allowed, before any work.

Each kind of argument has its check here; those of tensors are in ``paperlib.state``. A check holds for good values, so that
NaN, which compares with nothing, never passes.
"""

import math
from collections.abc import Collection, Sequence
from itertools import pairwise
from numbers import Integral, Real


class Refusal(ValueError):
    """Anything that is refused in one sentence; the base of every error that a reader can cause."""

    def __str__(self) -> str:
        # a name or a value that it quotes may hold line breaks
        return " ".join(super().__str__().splitlines())


class InputError(Refusal):
    """An argument that does not fit; one sentence that names it, its value and what is allowed."""


def reject(condition: bool, sentence: str) -> None:
    """Raise InputError with one sentence when ``condition`` holds."""
    if condition:
        raise InputError(sentence)


def is_integer(value: object) -> bool:
    """Whether it is a whole number; True and False are none."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def is_number(value: object) -> bool:
    """Whether it is a finite number; True and False are none."""
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def check_size(name: str, value: object) -> None:
    """InputError unless it is a finite number of at least 0."""
    reject(not (is_number(value) and value >= 0), f"{name} is {value!r}; allowed is a number of at least 0")


def check_positive(name: str, value: object) -> None:
    """InputError unless it is a finite number above 0."""
    reject(not (is_number(value) and value > 0), f"{name} is {value!r}; allowed is a positive number")


def check_number(name: str, value: object) -> None:
    """InputError unless it is a finite number."""
    reject(not is_number(value), f"{name} is {value!r}; allowed is a finite number")


def check_share(name: str, value: object) -> None:
    """InputError unless it is a number above 0 and at most 1."""
    reject(not (is_number(value) and 0 < value <= 1), f"{name} is {value!r}; allowed is a number in (0, 1]")


def check_count(name: str, value: object, least: int = 1, most: int | None = None) -> None:
    """InputError unless it is an integer of at least ``least``, and at most ``most``."""
    good = is_integer(value) and least <= value and (most is None or value <= most)
    allowed = f"of at least {least}" if most is None else f"from {least} to {most}"
    reject(not good, f"{name} is {value!r}; allowed is an integer {allowed}")


def check_choice(name: str, value: object, allowed: Collection[str]) -> None:
    """InputError unless it is one of the names."""
    # of a table its names; a list as value would not be hashable
    reject(value not in tuple(allowed), f"{name} is {value!r}; allowed are {', '.join(allowed)}")


def check_rising(name: str, values: Sequence[float]) -> None:
    """InputError unless it is a list of finite positive numbers, each larger than the one before."""
    numbers = isinstance(values, Sequence) and all(map(is_number, values))
    rising = numbers and len(values) > 0 and all(a < b for a, b in pairwise([0, *values]))
    reject(not rising, f"{name} is {values}; allowed are rising positive numbers")
