"""What the pages of accuracy under attack have in common: their sizes in words."""

from paperlib.names import data
from paperlib.record import Record


def official(record: Record) -> bool:
    """Whether the images are those of one of the paper's own data sets."""
    return data(record.data["name"]).official > 0


def middle(record: Record) -> float:
    """The size in the middle, of which most is said."""
    sizes = record.parameters["eps"]
    return sizes[len(sizes) // 2]


def facts(record: Record) -> dict[str, object]:
    """What the words of such a page may name besides the parameters: the sizes and the attacks' step with their unit."""
    return {
        "middle": record.size(middle(record)), "sizes": ", ".join(map(record.size, record.parameters["eps"])),
        "step": record.size(record.parameters["step_size"]),
    }  # fmt: skip
