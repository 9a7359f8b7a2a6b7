"""Surfaces that a reader turns, behind a still picture of the same for print and for pages without scripts."""

from pathlib import Path

from paperlib import record as records
from press.page.pictures import BOX, Pictures, raw
from press.page.values import Numbers
from press.plan import experiments
from press.plan.experiments import Artifact


def behind(parts: list[str], spec: Artifact, results: Path) -> list[str]:
    """What a notebook of surfaces shows, and behind its first picture the same surfaces to turn; ``parts`` of any other."""
    first = next((k for k, part in enumerate(parts) if part.startswith(BOX)), None)
    if spec.notebook != "surfaces" or first is None:
        return parts
    from paperlib.drawings import turning

    record = records.read(results / f"{spec.key}.json", parameters=spec.parameters)
    return [*parts[: first + 1], raw(turning.block(record)), *parts[first + 1 :]]


def surface(numbers: Numbers, folder: Path, key: str, panels: list[int]) -> str:
    """Some panels of a figure of the published edition for a chapter, still and to turn; the picture goes into ``folder``.

    Empty where the edition lacks the figure.
    """
    if key not in numbers.edition:
        return ""
    from paperlib.drawings import style, surfaces, turning

    path = numbers.folder / "results" / f"{key}.json"
    record = surfaces.only(records.read(path, stated=experiments.stated(key)), panels)
    picture = style.shown(surfaces.landscapes(record), alt=surfaces.alt(record, "landscapes"))
    data, metadata = picture._repr_mimebundle_()
    still = Pictures(folder, f"{key}-{'-'.join(map(str, panels))}").markdown(
        {"outputs": [{"data": data, "metadata": metadata}]}
    )
    return f"{still}\n\n{raw(turning.block(record))}"
