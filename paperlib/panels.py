"""The panels of a figure: whose surface, of what, in which space, along which direction."""

from dataclasses import dataclass, fields

from paperlib.refusal import reject

# the names in ``objective`` and ``surface``, which need torch; drawing does not
ALLOWED = {
    "space": ("input", "parameter"), "objective": ("decision", "loss"), "direction": ("random", "adversarial"),
    "climbs": ("cross_entropy", "least_likely", "cw", "dlr"),
}  # fmt: skip


@dataclass(frozen=True)
class Panel:
    """One picture: whose surface, of what, in which space, along which direction.

    ``climbs`` is the objective whose gradient gives an adversarial direction; ``image`` and ``seed`` count on from the
    figure's own. Raises ValueError, naming the field, its value and what is allowed.
    """

    role: str
    space: str = "input"
    objective: str = "decision"
    direction: str = "adversarial"
    climbs: str = "cw"
    image: int = 0
    seed: int = 0

    def __post_init__(self):
        for name, values in ALLOWED.items():
            value = getattr(self, name)
            reject(value not in values, f"panel field {name} is {value!r}; allowed are {', '.join(values)}")

    def key(self, levels: list[str]) -> str:
        """Where its numbers stand in the record: the fields named ``levels``, joined by ``/``."""
        return "/".join(str(getattr(self, level)) for level in levels)


def panels(settings: list[dict], roles: list[str]) -> list[Panel]:
    """The panels of a figure from plain settings; the first role is the default.

    Raises ValueError for an unknown field or role.
    """
    known = [field.name for field in fields(Panel)]
    for entry in settings:
        unknown = [name for name in entry if name not in known]
        reject(bool(unknown), f"panel field {', '.join(unknown)} is unknown; allowed are {', '.join(known)}")
        role = entry.get("role", roles[0])
        reject(role not in roles, f"panel field role is {role!r}; allowed are {', '.join(roles)}")
    return [Panel(**{"role": roles[0], **entry}) for entry in settings]


def measured(panels: list[Panel], levels: list[str]) -> dict[str, Panel]:
    """The first panel of each group that ``levels`` make: the one whose numbers are taken."""
    found: dict[str, Panel] = {}
    for panel in panels:
        found.setdefault(panel.key(levels), panel)
    return found
