"""Sizes of perturbations as readers write them: a number in the data's unit, or a share of the image range."""

from paperlib.refusal import InputError


class Relative(float):
    """A size that is a share of the image range whatever the data, as it was written."""

    def __new__(cls, value: float, text: str):
        made = super().__new__(cls, value)
        made.text = text
        return made

    def __repr__(self) -> str:
        return self.text


def written(text: str) -> float:
    """A size as it is written: "8/255" is a share of the image range, "8" or "0.1" counts in the data's unit. InputError."""
    top, slash, bottom = text.partition("/")
    try:
        return Relative(float(top) / float(bottom), text) if slash else float(text)
    except (ValueError, ZeroDivisionError):
        raise InputError(f"size is {text!r}; allowed is a number such as 0.1 or a fraction such as 8/255") from None


def size(text: str | float, pixel_scale: int) -> float:
    """A size on the [0, 1] scale of the images: "8/255" is itself, other numbers count in 1/``pixel_scale``.

    >>> size("8/255", 255) == size("8", 255) == 8 / 255, size("0.1", 1)
    (True, 0.1)
    """
    value = written(text) if isinstance(text, str) else text
    return float(value) if isinstance(value, Relative) else float(value) / pixel_scale
