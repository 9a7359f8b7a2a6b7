"""The surfaces of a figure as data for a picture that a reader turns: read by ``book/_static/surfaces.js``."""

import html
import json

import matplotlib.pyplot as plt
import numpy as np

from paperlib.drawings import surfaces
from paperlib.drawings.maps import Scale
from paperlib.panels import Panel
from paperlib.record import Record

LABELS = {"decision": "S", "loss": "loss (nats)"}
# colours of a scale that the page blends between
COLOURS = 13


def block(record: Record) -> str:
    """The panels of a figure as one HTML element; a page without scripts shows nothing of it."""
    drawn = surfaces.drawn(record)
    scales = surfaces.scales_of(record, drawn)
    content = [_surface(record, drawn, k, scales[panel.objective]) for k, panel in enumerate(drawn)]
    words = "; ".join(each["title"] for each in content)
    data = json.dumps(content, ensure_ascii=False, separators=(",", ":")).replace("</", "<\\/")
    return (
        f'<div class="turning" role="group" aria-label="{html.escape(f"Surfaces to turn: {words}", quote=True)}">'
        f'<script type="application/json">{data}</script></div>'
    )


def _surface(record: Record, drawn: list[Panel], k: int, scale: Scale) -> dict:
    """One surface: its axis, heights in rows of beta, and the colours and ends of its scale."""
    panel, axis, values = drawn[k], record.arrays[f"axis_{k}"], record.arrays[f"values_{k}"]
    low, high = map(float, scale.levels[[0, -1]])
    colours = plt.get_cmap(scale.cmap)(np.linspace(0, 1, COLOURS))
    return {
        "title": surfaces.title_of(panel, drawn).replace("\n", ", "), "height": LABELS[panel.objective],
        "axis": _short(axis), "values": [_short(row) for row in values], "low": low, "high": high,
        "colours": [f"rgb({','.join(str(round(255 * part)) for part in colour[:3])})" for colour in colours],
        "boundary": bool(panel.objective == "decision" and values.min() < 0 < values.max()),
    }  # fmt: skip


def _short(numbers: np.ndarray) -> list[float]:
    """Four significant digits: more do not show."""
    return [float(f"{number:.4g}") for number in numbers]
