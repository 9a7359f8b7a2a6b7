"""Refusing what does not fit: one sentence that names the parameter, its value and what is allowed, before any work."""


class Refusal(ValueError):
    """Anything that is refused in one sentence; the base of every error that a reader can cause."""


class InputError(Refusal):
    """An argument that does not fit; one sentence that names it, its value and what is allowed."""


def reject(condition: bool, sentence: str) -> None:
    """Raise InputError with one sentence when ``condition`` holds."""
    if condition:
        raise InputError(sentence)
