"""Whether every file that a run has made, and every file that was published, still is what was written."""

from dataclasses import dataclass

from paperlib import sealed
from press.page import manifest
from press.plan.experiments import build_dir
from press.run import inventory, workflow
from press.run.places import stamp


@dataclass(frozen=True)
class Checked:
    """How many files were looked at, and what is wrong with some of them, by path: ``lost``, ``damaged``, ``not listed``."""

    place: str
    files: int
    faults: dict[str, str]


def checked(profile: str) -> list[Checked]:
    """The products of every finished step of a profile, kind by kind, and the published edition."""
    steps: dict[str, list[str]] = {}
    for step, name in workflow.all_steps(profile):
        steps.setdefault(step, []).append(name)
    rows = [_of_steps(profile, step, names) for step, names in steps.items()]
    faults = manifest.faults()
    known = 0 if manifest.path_of().name in faults or not manifest.path_of().exists() else len(manifest.listed())
    return [*rows, Checked("published", known, faults)]


def _of_steps(profile: str, step: str, names: list[str]) -> Checked:
    files, faults = {}, {}
    for name in names:
        path = stamp(profile, step, name)
        try:
            files |= sealed.read_json(path, "asked", "files")["files"] if path.exists() else {}
        except sealed.DamagedError:
            faults[path.relative_to(build_dir(profile)).as_posix()] = "damaged"
    return Checked(f"{profile} {step}", len(files), inventory.faults(build_dir(profile), files) | faults)


def table(rows: list[Checked]) -> str:
    """One line a place with its numbers of files, below it one line for each file that is not whole."""
    lines = [f"{'':<20}{'files':>8}{'faults':>8}"]
    for row in rows:
        lines.append(f"{row.place:<20}{row.files:>8}{len(row.faults):>8}")
        lines += [f"  {state}: {name}" for name, state in row.faults.items()]
    return "\n".join(lines)
