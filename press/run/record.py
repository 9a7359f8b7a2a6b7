"""Writing down what a run found: ``result.json`` with its provenance, and the arrays behind a figure."""

import time
from datetime import UTC, datetime
from pathlib import Path

from paperlib import record as records
from paperlib.provenance import environment, git_commit, plain
from press.plan import experiments


class Run:
    """Collects one artifact's provenance from its first line on and writes ``<artifact>.json`` and ``.npz``."""

    def __init__(self, artifact: str, *, profile: str, parameters: dict, out: str = "", seeds: dict | None = None):
        self.artifact, self.profile, self.parameters = artifact, profile, parameters
        self.folder = Path(out) if out else experiments.build_dir(profile) / "results"
        self.seeds = dict(seeds or {})
        self.models: dict[str, dict] = {}
        self.data: dict | None = None
        self.started, self._clock = datetime.now(UTC), time.perf_counter()

    def model(self, role: str, trained):
        """Note a zoo's ``Trained`` and return its network."""
        self.models[role] = {"name": trained.name, "sha256": trained.sha256, "recipe": trained.recipe.to_dict()}
        return trained.model

    def dataset(self, dataset, n: int):
        """Note a data set and how many of its images were used; any after the first stand in its ``others``."""
        entry = {"name": dataset.name, "sha256": dataset.sha256, "n": n, "pixel_scale": dataset.pixel_scale}
        if self.data is None:
            self.data = entry
        else:
            self.data.setdefault("others", []).append(entry)

    def write(self, values: dict, *, made_of: str = "", **arrays) -> dict:
        """Write the record, and the arrays beside it, each in one piece; returns the record.

        ``made_of`` tells whether it would be measured anew. Raises ValueError for values that JSON cannot hold (NaN is
        written as null).
        """
        record = {
            "artifact": self.artifact, "paper": experiments.paper_place(self.artifact), "profile": self.profile,
            "parameters": plain(self.parameters), "data": self.data, "models": self.models, "seeds": plain(self.seeds),
            "environment": environment(), "git_commit": git_commit(),
            "started": self.started.isoformat(timespec="seconds"),
            "seconds": round(time.perf_counter() - self._clock, 2), "made_of": made_of, "values": plain(values),
        }  # fmt: skip
        return records.write(self.folder / f"{self.artifact}.json", record, arrays)
