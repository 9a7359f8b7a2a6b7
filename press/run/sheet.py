"""What a notebook opens: one call that finds the record of its parameters, or measures and writes it."""

import ast
import importlib
import os
import re
from dataclasses import replace
from pathlib import Path

from paperlib import fingerprint, sealed
from paperlib import record as records
from paperlib.record import Record
from press.plan import experiments, settings, templates
from press.run import places, steps

# set where a record is to be drawn as it is, whatever it was made of
DRAW_ONLY = "PRESS_DRAW_ONLY"


def measured(kind: str, cell: dict[str, object]) -> Record:
    """The record of a notebook's parameters: the one that is there if it was made of the same, else a new one.

    ``kind`` is the notebook's name and that of its module in ``paperlib.measures``; ``cell`` holds its variables, as
    ``globals()`` has them, and those given as words get the values these mean. Without a folder ``out`` the record lies
    with the profile's own where it is that, and in a folder of its own otherwise. Raises ExperimentError for a parameter
    that does not fit, before any work.
    """
    spec, out = asked(kind, cell)
    cell.update(spec.parameters)
    path = _folder(spec, out) / f"{spec.key}.json"
    if not os.environ.get(DRAW_ONLY):
        made_of = steps.measurement(steps.prepared(spec))
        if not steps.is_measured(path, made_of):
            _measure(spec, path.parent, made_of)
    return records.read(path, parameters=_drawn(spec), stated=experiments.stated(spec.key))


def _folder(spec: experiments.Artifact, out: str) -> Path:
    """Where the record lies: what is not the profile's own never takes its place."""
    if out:
        return Path(out)
    if not experiments.changes(spec):
        return experiments.build_dir(spec.profile) / "results"
    folder = experiments.rerun_dir(spec)
    places.say(f"not the parameters of profile {spec.profile}: the record is in {places.short_path(folder)}")
    return folder


def asked(kind: str, cell: dict[str, object]) -> tuple[experiments.Artifact, str]:
    """What a notebook's variables ask for, and the folder for its results (empty: the profile's own)."""
    defaults = templates.notebook_parameters(kind)
    for name in _given(cell):
        settings.choice(f"parameter of notebooks/{kind}.ipynb", name, list(defaults))
    values = {name: _meant(name, cell[name], default) for name, default in defaults.items()}
    key, profile, models, out = (values.pop(name) for name in templates.PIPELINE_PARAMETERS)
    experiments.check_profile(profile)
    if not re.fullmatch(r"[\w.+-]+", str(key)):
        raise settings.ExperimentError(f"artifact is {key!r}; allowed are letters, digits, '.', '+' and '-'")
    roles = settings.mapping(models, "models")
    spec = experiments.Artifact(key, profile, kind, experiments.paper_place(key), "", roles, values)
    spec.check()
    return spec, out


def _given(cell: dict[str, object]) -> list[str]:
    """The names that papermill has assigned: it only warns of one that the notebook does not have."""
    injected = [source for source in cell.get("In") or [] if source.startswith("# Parameters\n")]
    nodes = [node for source in injected for node in ast.parse(source).body if isinstance(node, ast.Assign)]
    return [target.id for node in nodes for target in node.targets if isinstance(target, ast.Name)]


def _meant(name: str, value: object, default: object) -> object:
    """A value as it is meant: papermill hands over lists, ``false`` and ``null`` of a command line as words."""
    return settings.parse_value(name, value) if isinstance(value, str) and not isinstance(default, str) else value


def _measure(spec: experiments.Artifact, folder: Path, made_of: str) -> None:
    import torch

    from press.run import record, zoo

    places.settle_threads()

    module = importlib.import_module(f"paperlib.measures.{spec.notebook}")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    run = record.Run(spec.key, profile=spec.profile, parameters=spec.parameters, out=str(folder))
    trained = {role: zoo.get(name, spec.profile, progress=False) for role, name in spec.models.items()}
    for role, each in trained.items():
        run.model(role, each)
    given = {"store": experiments.build_dir(spec.profile), "device": device, "stated": experiments.stated(spec.key)}
    options = spec.parameters | given
    _lay_flags(experiments.build_dir(spec.profile) / "oracle")
    taken = {name: options[name] for name in fingerprint.keywords(module.__name__, "measure")}
    found = module.measure({role: replace(each, model=each.model.to(device)) for role, each in trained.items()}, **taken)
    run.seeds |= found.seeds
    for dataset, n in found.data:
        run.dataset(dataset, n)
    run.write(found.values, made_of=made_of, **found.arrays)


def _lay_flags(folder: Path) -> None:
    """What AutoAttack has found for the published edition, hours of work in a few bytes, where a run looks for it."""
    for path in (settings.ROOT / "book" / "published" / "oracle").glob("autoattack-*.npy"):
        flags, laid = sealed.read(path), folder / path.name
        if not (sealed.is_whole(laid) and sealed.read(laid) == flags):
            sealed.write(laid, flags)


def _drawn(spec: experiments.Artifact) -> dict[str, object]:
    """The parameters that the drawing alone takes."""
    measured = fingerprint.keywords(f"paperlib.measures.{spec.notebook}", "measure")
    return {name: value for name, value in spec.parameters.items() if name not in measured}
