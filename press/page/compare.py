"""A figure with other parameters on one page: beside the profile's own and the published edition's, with what differs."""

from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from paperlib import sealed
from paperlib.files import write_atomic
from paperlib.numbers import formatted
from paperlib.refusal import Refusal
from press.page import changes, drawn, findings
from press.plan import settings, templates
from press.plan.experiments import Artifact, build_dir

NAMED = 5  # changes that the first sentence names


@dataclass(frozen=True)
class Version:
    """A figure as one run made it: its record, and what its notebook shows, (kind, content, alt) in order."""

    title: str
    record: dict
    shown: list[tuple[str, str, str]] = field(default_factory=list)

    @property
    def settings(self) -> dict[str, str]:
        """Profile, data, parameters, networks and their recipes in words."""
        record, data = self.record, self.record.get("data") or {}
        found = {"profile": record["profile"], "data": f"{data.get('name', 'none')}, {data.get('n', 0)} images"}
        found |= record["parameters"]
        for role, model in record["models"].items():
            found |= {f"network {role}": model["name"]}
            found |= {f"{role}: {name}": value for name, value in (model.get("recipe") or {}).items()}
        return {name: settings.typed(settings.plain(value), spaced=True) for name, value in found.items()}


def write(spec: Artifact, folder: Path, overrides: dict[str, object]) -> Path:
    """Writes the page of a figure made again into its folder, as a file that loads nothing; returns it."""
    record, place = folder / f"{spec.key}.json", build_dir(spec.profile)
    new = Version("With your parameters", sealed.read_json(record), shown(sealed.read_json(folder / f"{spec.key}.ipynb")))
    others, missing = _others(spec, place)
    path = folder / f"{spec.key}.html"
    files = sorted(each.name for each in folder.glob(f"{spec.key}*") if each != path)
    write_atomic(path, page(spec, new, others, overrides=overrides, missing=missing, files=files))
    return path


def _others(spec: Artifact, place: Path) -> tuple[list[Version], list[str]]:
    """The profile's own and the published edition's, as far as they are there, and a sentence for each that is not."""
    found, missing = [], []
    own = _version(
        f"Profile {spec.profile}", place / "results" / f"{spec.key}.json", place / "notebooks" / f"{spec.key}.ipynb"
    )
    if own:
        found.append(own)
    else:
        again = "" if spec.profile == "quick" else f" PROFILE={spec.profile}"
        missing.append(f"The profile's own figure has not been made yet: make book{again} makes it.")
    record = findings.edition_dir() / "results" / f"{spec.key}.json"
    if not record.is_file():
        return found, [*missing, "The published edition does not have this figure."]
    try:
        drawn.draw(only=(spec.key,))
        published = _version("Published edition", record, drawn.path_of(spec.key))
    except Refusal as error:
        return found, [*missing, f"The published edition is not shown: {error}."]
    return [*found, *([published] if published else [])], missing


def _version(title: str, record: Path, notebook: Path) -> Version | None:
    try:
        return Version(title, sealed.read_json(record), shown(sealed.read_json(notebook)))
    except sealed.DamagedError:
        return None


def shown(notebook: dict) -> list[tuple[str, str, str]]:
    """The pictures and tables of an executed notebook: kind, content, alt text."""
    found = []
    for cell in notebook["cells"]:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if "image/png" in data:
                alt = output.get("metadata", {}).get("image/png", {}).get("alt", "")
                found.append(("picture", "".join(data["image/png"]).replace("\n", ""), alt))
            elif "text/html" in data:
                found.append(("table", "".join(data["text/html"]), ""))
    return found


def page(
    spec: Artifact,
    new: Version,
    others: list[Version],
    *,
    overrides: dict[str, object],
    missing: list[str],
    files: list[str],
) -> str:
    """The page's HTML."""
    rows = numbers(new, others)
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    return environment.get_template("compare.html").render(
        title=f"{spec.place}: {spec.title}", versions=[new, *others], missing=missing, rows=rows, files=files,
        command=command(spec, overrides), answer=answer(rows, others), settings=differing([new, *others]),
        shown=list(zip_longest(*(version.shown for version in (new, *others)))),
        meanings=templates.parameter_comments(templates.parameters_source(spec.notebook)),
    )  # fmt: skip


def command(spec: Artifact, overrides: dict[str, object]) -> str:
    """What was typed."""
    profile = "" if spec.profile == "quick" else f" PROFILE={spec.profile}"
    given = " ".join(f"{name}={settings.typed(value)}" for name, value in overrides.items())
    return f"make figure FIG={spec.key}{profile}" + (f" P='{given}'" if given else "")


def numbers(new: Version, others: list[Version]) -> list[dict]:
    """Every number of the page: its path, this figure's, and of each other version the number, the change and whether it is
    beyond its interval."""
    found = []
    for path, leaf, theirs in changes.rows(new.record["values"], *(other.record["values"] for other in others)):
        columns = [_beside(leaf, other) for other in theirs]
        found.append({"path": " › ".join(path), "new": _told(leaf), "others": columns})
    return found


def _beside(leaf: object, other: object) -> dict[str, object]:
    difference = changes.change(leaf, other)
    return {"told": _told(other), "change": changes.words(difference), "beyond": changes.is_told(difference)}


def _told(leaf: object) -> str:
    return "–" if leaf is None else formatted(leaf)


def answer(rows: list[dict], others: list[Version]) -> list[str]:
    """For each other version one sentence: how many numbers it shares, and which have changed beyond their intervals."""
    found = []
    for k, other in enumerate(others):
        shared = [row for row in rows if row["others"][k]["change"]]
        beyond = [row["path"] for row in shared if row["others"][k]["beyond"]]
        names = "; ".join(beyond[:NAMED]) + (f"; and {len(beyond) - NAMED} more" if len(beyond) > NAMED else "")
        changed = f"{len(beyond)} have changed beyond their intervals" + (f": {names}" if names else "")
        found.append(f"{other.title}: of {len(shared)} numbers that both have, {changed}.")
    return found


def differing(versions: list[Version]) -> list[tuple[str, list[str]]]:
    """The settings in which the versions differ: name, and each version's value in words."""
    told = [version.settings for version in versions]
    names = dict.fromkeys(name for each in told for name in each)
    rows = [(name, [each.get(name, "–") for each in told]) for name in names]
    return [(name, values) for name, values in rows if len(set(values)) > 1]
