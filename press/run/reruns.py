"""Figures that were made again with other parameters: what they are called, and what differs."""

from pathlib import Path

from paperlib import sealed
from press.plan import experiments, settings
from press.run.places import short_path, whole

HEAD = ("name", "figure", "what differs", "measured", "where")


def listed(profile: str) -> list[tuple[str, ...]]:
    """One row of ``HEAD`` for each figure below the profile's folder ``reruns``, by name; raises ExperimentError for an
    unknown profile."""
    experiments.check_profile(profile)
    folders = sorted(path for path in (experiments.build_dir(profile) / "reruns").glob("*") if path.is_dir())
    return [row for folder in folders for row in _rows(folder)]


def _rows(folder: Path) -> list[tuple[str, ...]]:
    found = []
    for path in sorted(folder.glob("*.json")):
        record = whole(sealed.read_json, path)
        if record is not None:
            page = path.with_suffix(".html")
            place = page if page.is_file() else path
            changes = ", ".join(differences(record)) or "nothing"
            row = (folder.name, record["paper"] or record["artifact"], changes, record["started"][:16].replace("T", " "))
            found.append((*row, short_path(place)))
    return found


def differences(record: dict) -> list[str]:
    """What a record was asked for that its profile's own was not, ``image=3`` each; a network by its name."""
    key = record["artifact"]
    notebook = experiments.load()["artifacts"].get(key, {}).get("notebook")
    if notebook is None:
        return [f"{name}={settings.typed(value)}" for name, value in record["parameters"].items()]
    models = {role: model["name"] for role, model in record["models"].items()}
    spec = experiments.Artifact(key, record["profile"], notebook, "", "", models, record["parameters"])
    found, usual = experiments.changes(spec), experiments.own(record["profile"], key, notebook).models
    changed = found.pop("models", {})
    told = [f"{name}={settings.typed(value)}" for name, value in found.items()]
    return told + [f"{role}: {name}" for role, name in changed.items() if usual.get(role) != name]


def table(rows: list[tuple[str, ...]]) -> str:
    """The rows below their head, each column as wide as its widest word."""
    lines = [HEAD, *rows]
    widths = [max(len(line[k]) for line in lines) for k in range(len(HEAD))]
    return "\n".join(
        "  ".join(word.ljust(width) for word, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )
