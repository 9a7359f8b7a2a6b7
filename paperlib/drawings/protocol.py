"""What the settings of an attack change, as a table."""

from paperlib.drawings import style
from paperlib.names import METHODS


def protocol_table(values: dict, *, steps: int, long_steps: int, step: str, unit: str = "") -> str:
    """Accuracies of ``protocol.protocols`` as an HTML table: one way and objective a row, networks and eps across."""
    ways = {
        "last": f"{steps} steps of {step}, last iterate", "any": f"{steps} steps of {step}, any iterate",
        "small": f"{steps} steps of ε/4, last iterate", "long": f"{long_steps} smaller steps, any iterate",
        "start": f"{long_steps} smaller steps, random start",
    }  # fmt: skip
    objectives = {"bim": "cross-entropy", "cw": "margin"}
    sizes = list(next(iter(values.values()))["last_bim"])
    columns = [(of, size) for of in values.values() for size in sizes]
    head = "".join(f"<th>{METHODS.get(role, role)}<br>ε = {size}{unit}</th>" for role in values for size in sizes)
    rows = "".join(
        f"<tr><th>{title}, {objectives[objective]}</th>"
        + "".join(f"<td>{style.cell(of[f'{way}_{objective}'][size], None, False)}</td>" for of, size in columns)
        + "</tr>"
        for objective in objectives for way, title in ways.items()
    )  # fmt: skip
    return style.table(head, rows)
