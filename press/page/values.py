"""The three columns of the book: the paper's numbers, the published edition's and this run's."""

import hashlib
from pathlib import Path

from paperlib import names, sealed
from paperlib.numbers import formatted, leaf_at
from press.page import findings, manifest
from press.plan import experiments, settings
from press.plan.experiments import build_dir
from press.plan.settings import ExperimentError, text_keys

ABSENT = "not in this edition"
UNSTATED = "not stated"


class Numbers:
    """The three columns of the book: the paper's numbers, the published edition's and this run's.

    ``alone``: the book is of the edition itself, and there is no other run to set beside it. Raises EditionError where the
    edition is damaged.
    """

    def __init__(self, profile: str, *, alone: bool = False):
        manifest.check()
        self.profile, self.alone = profile, alone
        self.edition = _values(findings.edition_dir() / "results", list(experiments.load()["artifacts"]))
        here = findings.edition_dir() if alone else build_dir(profile)
        self.results = here / "results"
        self.here = _values(self.results, experiments.keys(profile))
        self.stated = text_keys(settings.read_mapping(settings.ROOT / "book" / "paper_numbers.yml"))
        self.folder = findings.edition_dir()

    def value(self, artifact: str, *keys: str) -> str:
        """This run's number, with its interval."""
        return _found(self.here, artifact, keys, ABSENT)

    def published(self, artifact: str, *keys: str) -> str:
        """The published edition's number, with its interval."""
        return _found(self.edition, artifact, keys, ABSENT)

    def paper(self, artifact: str, *keys: str) -> str:
        """The paper's number, with as many digits as the paper gives."""
        leaf = leaf_at(self.stated.get(artifact, {}), keys)
        if leaf is None or isinstance(leaf, dict):
            return UNSTATED if leaf is None else formatted(leaf)
        return ", ".join(map(str, leaf)) if isinstance(leaf, list) else str(leaf)

    def page(self, artifact: str) -> str:
        """A link to a figure's page, or its name where this profile has no such page."""
        place = _named(artifact)["place"]
        return f"[{place}](figures/{artifact}.md)" if artifact in self.pages() else place

    def pages(self) -> list[str]:
        """The artifacts with a page, in the order of ``experiments.yml``: those executed, and those that the profile has not
        at all but the published edition has."""
        of_profile, ready = ([], []) if self.alone else (experiments.keys(self.profile), executed(self.profile))
        return [
            key for key in experiments.load()["artifacts"]
            if key in ready or (key not in of_profile and key in self.edition)
        ]  # fmt: skip

    def status(self) -> list[dict]:
        """All artifacts with a link to their page, and the seconds and hash of this run's result (None without one)."""
        return [self._status(key, entry) for key, entry in experiments.load()["artifacts"].items()]

    def _status(self, key: str, entry: dict) -> dict:
        row = {"key": key, "title": experiments.title(self.profile, key), "paper": entry["place"], "link": self.page(key)}
        if key not in self.here:
            return row | {"seconds": None, "sha256": None}
        path = self.results / f"{key}.json"
        return row | {"seconds": record_of(path)["seconds"], "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}

    def networks(self) -> list[dict]:
        """The published edition's networks, one row each."""
        return findings.networks(self.folder)

    def seeds(self) -> dict[str, int]:
        """How many seeds each of the published edition's recipes was trained with."""
        return findings.seeds(self.folder)

    def lacking(self) -> list[str]:
        """The places of the paper that the published edition has no result for."""
        return [entry["place"] for key, entry in experiments.load()["artifacts"].items() if key not in self.edition]

    def test_images(self) -> dict[str, str]:
        """How many test images the published edition had, in words, by data set."""
        return {names.data(name).label: words for name, words in findings.test_images(self.folder).items()}

    def sizes(self) -> list[str]:
        """The profiles that made the published edition."""
        return findings.sizes(self.folder)

    def searches(self) -> list[dict]:
        """The published edition's searches for a penalty."""
        return findings.searches(self.folder)

    def at_equal_norm(self) -> list[dict]:
        """The two penalised functions of the published edition's searches beside each other, norm by norm."""
        return findings.at_equal_norm(self.searches())

    def cells(self, artifact: str) -> list[dict]:
        """Every cell of a table of the paper beside the published edition's; none where the edition lacks the table."""
        return findings.cells(self.edition[artifact], self.stated[artifact]) if artifact in self.edition else []


def executed(profile: str) -> list[str]:
    """The artifacts of a profile whose notebooks have been executed."""
    folder = build_dir(profile) / "notebooks"
    return [key for key in experiments.keys(profile) if (folder / f"{key}.ipynb").is_file()]


def _named(artifact: str) -> dict:
    entries = experiments.load()["artifacts"]
    if artifact not in entries:
        raise ExperimentError(f"page({artifact!r}): there is no such artifact; allowed are {', '.join(entries)}")
    return entries[artifact]


def _values(folder: Path, keys: list[str]) -> dict[str, dict]:
    paths = {key: folder / f"{key}.json" for key in keys}
    return {key: text_keys(record_of(path)["values"]) for key, path in paths.items() if path.is_file()}


def record_of(path: Path) -> dict:
    """A record or notebook as it is written. Raises DamagedError, naming the file, for one that is damaged."""
    return sealed.read_json(path)


def _found(values: dict, artifact: str, keys: tuple, absent: str) -> str:
    node = leaf_at(values.get(artifact, {}), keys)
    return absent if node is None or node == {} else formatted(node)
