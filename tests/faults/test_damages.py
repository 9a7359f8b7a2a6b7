"""Each kind of file that is read back: flipped, cut, emptied, lost and replaced by another of its kind."""

from pathlib import Path

import numpy as np
import pytest
import test_stores
import torch
from test_zoo import weights
from toys import toy_recipe

from faults.trials import DAMAGES, outcome, replaced
from paperlib import files, sealed
from paperlib.reporting import references
from paperlib.sealed import DamagedError
from paperlib.train import OutOfTime
from press.page import manifest
from press.plan import settings
from press.run import zoo

# --- what a run of the whole book makes ----------------------------------------------------------------------------

# a file, and one of its kind that might lie in its place; files of one group are damaged before one run
GROUPS = [
    {"results/fig01.json": "results/fig02.json", "results/fig02.npz": "results/fig01.npz",
     "models/one.safetensors": "models/two.safetensors", "done/book/html": "done/data/toy",
     "done/execute/fig02": "done/execute/fig01"},
    {"results/fig02.json": "results/fig01.json", "notebooks/fig01.ipynb": "notebooks/fig02.ipynb",
     "data/toy.json": "results/fig01.json", "done/train/one": "data/toy.json", "html/index.html": "logs/snakemake.log"},
    {"results/fig01.npz": "results/fig02.npz", "notebooks/fig02.ipynb": "notebooks/fig01.ipynb",
     "models/two.made_of": "models/one.made_of", "done/data/toy": "done/train/two",
     "done/execute/fig01": "notebooks/fig01.ipynb"},
]  # fmt: skip


@pytest.mark.parametrize("group", GROUPS, ids=["records", "notebooks", "arrays"])
@pytest.mark.parametrize("damage", [*DAMAGES, "a file replaced"])
def test_products(done, toy, chance, tell, damage, group):
    for name, other in group.items():
        how = replaced(toy.whole.build / other) if damage == "a file replaced" else DAMAGES[damage](chance)
        how(done.build / name)
    found, why = outcome(done, toy.products, done.run("book"))
    if found == "healed" and "[" in done.run("book")[1]:
        found, why = "lost", "a second run does something again"
    tell(f"{damage}: products of a run", found, len(group), why)


# --- a real network's files ----------------------------------------------------------------------------------------


def interrupted(house) -> None:
    with pytest.raises(OutOfTime):
        house.get(budget=1e-9)


@pytest.mark.parametrize("name", ["state", "path", "card"])
@pytest.mark.parametrize("damage", [*DAMAGES, "a file replaced"])
def test_a_real_network(house, chance, tell, capsys, damage, name):
    whole = weights(house.get().model)
    others = {}
    house.recipe = toy_recipe(data=str(house.archive), epochs=2, seed=1)
    interrupted_or_done = interrupted if name == "state" else lambda house: house.get()
    interrupted_or_done(house)
    others = {each: getattr(house, each).read_bytes() for each in ("state", "path", "card") if getattr(house, each).exists()}
    house.recipe = toy_recipe(data=str(house.archive), epochs=2)
    for path in house.models.iterdir():
        path.unlink()
    interrupted_or_done(house)
    path = getattr(house, name)
    if damage == "a file replaced":
        path.write_bytes(others[name])
    else:
        DAMAGES[damage](chance)(path)
    found = "healed" if torch.equal(weights(house.get().model), whole) else "wrong"
    kind = {"state": "a training's state", "path": "weights and cards", "card": "weights and cards"}[name]
    tell(f"{damage}: {kind}", found)


# --- what long measurements keep on the way ------------------------------------------------------------------------

STORES = ["robustness", "worst", "plane", "piece", "autoattack"]


def same(a: object, b: object) -> bool:
    """Whether two measurements found the same."""
    if isinstance(a, (tuple, list)):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(value, b[key]) for key, value in a.items())
    if isinstance(a, (np.ndarray, torch.Tensor)):
        return bool(np.array_equal(np.asarray(a), np.asarray(b)))
    return a == b if not hasattr(a, "__dataclass_fields__") else same(vars(a), vars(b))


@pytest.mark.parametrize("name", STORES)
def test_a_measurement_s_parts(tmp_path, monkeypatch, chance, tell, name):
    test_stores.stand_in(monkeypatch)
    measure = getattr(test_stores, name)
    whole, other = measure(tmp_path / "a"), measure(tmp_path / "b", seed=5)
    (tmp_path / "c").mkdir()
    assert not same(whole, other)
    strange = sorted(path for path in (tmp_path / "b").rglob("*") if path.is_file())
    for damage in [*DAMAGES, *(["a file replaced"] if name != "autoattack" else [])]:
        kept = sorted(path for path in (tmp_path / "a").rglob("*") if path.is_file())
        for path, another in zip(kept, strange, strict=True):
            (replaced(another) if damage == "a file replaced" else DAMAGES[damage](chance))(path)
        found = "healed" if same(measure(tmp_path / "a"), whole) else "wrong"
        tell(f"{damage}: parts of measurements", found, len(kept), name)


# --- what was published --------------------------------------------------------------------------------------------

PUBLISHED = {
    "record": "results/*.json", "arrays": "results/*.npz", "weights": "models/*.safetensors", "card": "models/*.json",
    "search": "search/*.json", "flags": "oracle/*.npy", "list": "MANIFEST.json",
}  # fmt: skip
EDITION = settings.ROOT / "book" / "published"


@pytest.mark.parametrize("kind", PUBLISHED)
def test_a_published_file(tmp_path, monkeypatch, chance, tell, kind):
    monkeypatch.setattr(settings, "ROOT", tmp_path)
    pairs = {each: smallest(pattern) for each, pattern in PUBLISHED.items()}
    for paths in pairs.values():
        for path in paths:
            files.write_atomic(manifest.edition_dir() / path.relative_to(EDITION), path.read_bytes())
    manifest.write()
    manifest.check()
    path = manifest.edition_dir() / pairs[kind][0].relative_to(EDITION)
    whole = path.read_bytes()
    other = pairs[kind][-1] if kind != "list" else pairs["record"][0]
    for damage in [*DAMAGES, "a file replaced"]:
        (replaced(other) if damage == "a file replaced" else DAMAGES[damage](chance))(path)
        tell(f"{damage}: published files", refused(manifest.check, path), because=damage)
        files.write_atomic(path, whole)
    manifest.check()


def smallest(pattern: str) -> list[Path]:
    """The two smallest published files of a kind."""
    return sorted(EDITION.glob(pattern), key=lambda path: path.stat().st_size)[:2]


def refused(read, path: Path) -> str:
    """Whether ``read`` refuses a damaged file in a sentence that names it."""
    try:
        read()
    except (manifest.EditionError, DamagedError) as error:
        return "refused" if path.name in str(error) else "tracebacks"
    return "wrong"


def test_the_numbers_in_the_package(tmp_path, monkeypatch, chance, tell):
    path, another = tmp_path / "published.json", tmp_path / "another.json"
    sealed.write_json(another, {"files": {}})
    monkeypatch.setattr(references, "FILE", path)
    whole = Path(references.__file__).with_name("published.json").read_bytes()
    for damage in [*DAMAGES, "a file replaced"]:
        path.write_bytes(whole)
        (replaced(another) if damage == "a file replaced" else DAMAGES[damage](chance))(path)
        references.everything.cache_clear()
        tell(f"{damage}: published files", refused(references.everything, path), because=damage)
    references.everything.cache_clear()


def test_a_checkpoint_of_another_recipe_is_not_taken(house):
    """The trials above would say healed if nothing were trained: it is."""
    house.get()
    house.recipe = toy_recipe(data=str(house.archive), epochs=2, seed=1)
    assert zoo.get("toy", "quick", progress=False).recipe == house.recipe and len(house.trained) == 2
