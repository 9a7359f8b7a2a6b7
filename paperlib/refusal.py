"""Refusing what does not fit: one sentence that names the parameter, its value and what is allowed, before any work."""

import math


class Refusal(ValueError):
    """Anything that is refused in one sentence; the base of every error that a reader can cause."""


class InputError(Refusal):
    """An argument that does not fit; one sentence that names it, its value and what is allowed."""


def reject(condition: bool, sentence: str) -> None:
    """Raise InputError with one sentence when ``condition`` holds."""
    if condition:
        raise InputError(sentence)


def is_integer(value: object) -> bool:
    """Whether it is a whole number; True and False are none."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: object) -> bool:
    """Whether it is a finite number; True and False are none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
