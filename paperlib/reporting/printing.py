"""Notes and numbers of a network as a table in a terminal, or as JSON."""

import json
from collections.abc import Iterator
from pathlib import Path

from paperlib import files, provenance


def print_values(options, values: dict) -> None:
    """Notes and numbers as a table, or all of it as JSON; all of it into ``--out`` as well."""
    text = json.dumps(provenance.plain(values), indent=1, ensure_ascii=False)
    print(text if options.json else "\n".join(table(values)))
    if options.out:
        files.write_atomic(Path(options.out), text + "\n")


def table(values: dict) -> Iterator[str]:
    """The lines of a table for people: notes, numbers with their units, and what they were made of."""
    made_of = values["made_of"]
    for note in values["notes"]:
        yield f"note: {note['sentence']}"
    rows = list(_rows({k: v for k, v in values.items() if k not in ("notes", "made_of")}, made_of))
    width = max((len(label) for label, _ in rows), default=0)
    yield from (f"{label:<{width}}  {number}" for label, number in rows)
    about, eps = made_of["data"], made_of["eps"]
    sizes = ", ".join(with_unit(e, made_of["unit"]) for e in (eps if isinstance(eps, list) else [eps]))
    yield f"network {made_of['network']}, weights {(made_of['weights'] or 'unknown')[:12]}"
    yield f"images  {about['n']} of {about['name']} ({about['choice']}), sha256 {about['sha256'][:12]}"
    yield f"sizes   {sizes}; seed {made_of['seed']}; paperlib {made_of['versions']['paperlib']}"


LABELS = {
    "clean": "clean accuracy", "worst": "worst case of all attacks", "fgsm": "accuracy under FGSM",
    "bim": "accuracy under BIM", "cw": "accuracy under C&W", "S": "margin S", "mean_J": "mean |J|", "l1_J": "l1 norm of J",
    "l2_J": "l2 norm of J", "curvature": "curvature at 0.1", "loss_slope": "slope of the loss",
    "linear_distance": "linear distance S/|J|1", "linear_robust": "farther than eps if linear", "picture": "picture",
}  # fmt: skip


def _rows(values: dict, made_of: dict) -> Iterator[tuple[str, str]]:
    unit = made_of["unit"]
    for name, value in values.items():
        label = LABELS.get(name, name.replace("_", " "))
        if not isinstance(value, dict):
            yield label, value if isinstance(value, str) else f"{value:.3g}"
        elif "low" in value:
            yield label, number(value)
        elif name == "masking":
            at = with_unit(made_of["masking_eps"], unit)
            for each, share in value.items():
                yield f"masking at {at}: {each.replace('_', ' ')}", f"{share:.1f} {'points' if 'minus' in each else '%'}"
        else:
            yield from ((f"{label} at {with_unit(float(e), unit)}", number(found)) for e, found in value.items())


def with_unit(eps: float, unit: str) -> str:
    """A size as the reader writes it: ``8/255``, or ``0.1 of the image range``."""
    return f"{eps:g}{unit.removeprefix('1')}" if unit.startswith("1/") else f"{eps:g} {unit}"


def number(found: dict) -> str:
    """An interval in words: a share in percent, or a median with its unit."""
    if "median" not in found:
        return f"{found['mean']:.1f} % [{found['low']:.1f}, {found['high']:.1f}] of {found['n']}"
    unit = found["unit"]
    ends = f"[{found['low']:.3g}, {found['high']:.3g}]"
    if unit.startswith("1/"):
        return f"median {found['median']:.3g} {ends} in {unit} of the image range"
    return f"median {found['median']:.3g} {ends} {unit}"
