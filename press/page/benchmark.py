"""What the book shows of ``make bench``: its record as rows of a table, and what work costs as it grows, drawn."""

from pathlib import Path

import numpy as np

from paperlib import sealed
from paperlib.numbers import short
from press.run import places

PICTURE = "cost-against-size.png"


def benchmark() -> dict | None:
    """The record with its ``rows``; None where there is none. Raises DamagedError for one that is damaged."""
    if not places.benchmark().exists():
        return None
    record = sealed.read_json(places.benchmark())
    values = record["values"]
    rows = {key: _row(part) for key, part in values.items() if "goal" in part}
    return (
        record
        | {"rows": rows, "epoch": values.get("epoch"), "growth": values.get("growth"), "picture": PICTURE}
        | {"shares": {key: f"{share:.0f} %" for key, share in values.get("shares", {}).items()}}
    )


def _row(part: dict) -> dict:
    """A row's title and goal, the ratios in words, whether the goal is reached or by what share it is missed; its cases."""
    row = {"title": part["title"], "goal": short(part["goal"]), "unequal": part.get("unequal", [])}
    if row["unequal"]:
        return row | {"ratio": "–", "processor": "–", "reached": False, "missed": "", "cases": []}
    reached = part["ratio"] >= part["goal"]
    return row | {
        "ratio": f"{part['ratio']:.2f}", "processor": f"{part['processor_ratio']:.2f}", "reached": reached,
        "missed": "" if reached else f"{100 * (1 - part['ratio'] / part['goal']):.0f} %",
        "cases": [_case(name, case) for name, case in part["cases"].items()],
    }  # fmt: skip


def _case(name: str, case: dict) -> dict:
    said = {key: _accuracies(found) for key, found in case.get("accuracy", {}).items()}
    return {
        "name": name, "peer": case["ratio"]["peer"], "ratio": case["ratio"], "seconds": case["seconds"], "accuracy": said,
    }  # fmt: skip


def _accuracies(found: float | list[float]) -> str:
    return " / ".join(f"{each:.1f}" for each in (found if isinstance(found, list) else [found]))


def draw(folder: Path) -> None:
    """Seconds against size on log axes, with the straight lines that fit them, as a picture in ``folder``."""
    record = benchmark()
    if record is None or not record["growth"]:
        return
    import matplotlib.pyplot as plt

    from paperlib.drawings import style

    curves = list(record["growth"]["time"].values())
    with style.book():
        figure, axes = plt.subplots(2, 3, figsize=(15, 8.5), layout="constrained")
        for ax, curve in zip(axes.flat, curves, strict=False):
            sizes, seconds = np.array(curve["sizes"], dtype=float), np.array(curve["seconds"])
            slope = curve["exponent"]
            fitted = np.exp(np.mean(np.log(seconds)) + slope * (np.log(sizes) - np.mean(np.log(sizes))))
            ax.loglog(sizes, fitted, color="#999999", linewidth=1.5)
            ax.loglog(sizes, seconds, "o", color="#1f5aa6", markersize=9)
            ax.set(xlabel=curve["words"].partition(",")[0], ylabel="seconds", title=f"exponent {slope:.2f}")
            ax.set_xticks(sizes, [f"{size:g}" for size in sizes])
            ax.minorticks_off()
        for ax in axes.flat[len(curves) :]:
            ax.set_axis_off()
        figure.savefig(folder / PICTURE, dpi=90, metadata={"Software": None})
        plt.close(figure)
