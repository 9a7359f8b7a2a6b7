"""What the settings of an attack change, as a table."""

from paperlib.drawings import style, tables
from paperlib.names import network
from paperlib.record import Record

facts = tables.facts


def accuracies(record: Record) -> str:
    """Accuracies as an HTML table: one way of attacking and objective a row, networks and eps across."""
    values, step = record.values, facts(record)["step"]
    steps, long_steps = record.parameters["steps"], record.parameters["long_steps"]
    ways = {
        "last": f"{steps} steps of {step}, last iterate", "any": f"{steps} steps of {step}, any iterate",
        "small": f"{steps} steps of ε/4, last iterate", "long": f"{long_steps} smaller steps, any iterate",
        "start": f"{long_steps} smaller steps, random start",
    }  # fmt: skip
    objectives = {"bim": "cross-entropy", "cw": "margin"}
    sizes = list(next(iter(values.values()))["last_bim"])
    columns = [(of, size) for of in values.values() for size in sizes]
    head = "".join(f"<th>{network(role).label}<br>ε = {size}{record.unit}</th>" for role in values for size in sizes)
    rows = "".join(
        f"<tr><th>{title}, {objectives[objective]}</th>"
        + "".join(f"<td>{style.cell(of[f'{way}_{objective}'][size], None, False)}</td>" for of, size in columns)
        + "</tr>"
        for objective in objectives for way, title in ways.items()
    )  # fmt: skip
    return style.table(head, rows)
