"""The published networks as numbers that travel with the package: what a network of the reader's is set beside.

``published.json`` lies beside this module and is written by one command, ``python -m paperlib.references``, from the
published edition's records (clean accuracy and worst case with intervals), cards and weights (hashes, parts of the
indicator).
"""

import hashlib
import json
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from paperlib import indicator
from paperlib.findings import METHODS

FILE = Path(__file__).with_name("published.json")
TABLES = {"mnist": "table1", "cifar10": "table2"}
IMAGES = 1000  # test images for the parts of the indicator, the classes in turn
# what each part is called, and whether it is a length in input space, to be read in the data's own unit
PARTS = {
    "S": ("margin S", False), "mean_J": ("slope, mean |J|", False), "curvature": ("curvature at scale 0.1", False),
    "linear_distance": ("distance if S were linear, S / ‖J‖₁", True),
}  # fmt: skip


@lru_cache(maxsize=1)
def everything() -> dict:
    """All of ``published.json``: data set -> its facts and networks."""
    return json.loads(FILE.read_text(encoding="utf-8"))


def of(data: str, sha256: str = "") -> dict:
    """The published networks of a data set, by its name or the hash of its pixels; empty if there are none."""
    for name, entry in everything().items():
        if name == data or (sha256 and sha256 == entry["sha256"]):
            return entry | {"name": name}
    return {}


def weights_hash(model: Callable) -> str | None:
    """sha256 of a network's state: types, shapes and values in the order of their names; None for a callable without one.

    The names themselves are left out, so that a network inside another module has its own hash.
    """
    if not isinstance(model, nn.Module):
        return None
    digest = hashlib.sha256()
    for _, tensor in sorted(model.state_dict().items()):
        values = tensor.detach().cpu().contiguous()
        digest.update(f"{values.dtype} {tuple(values.shape)}".encode())
        digest.update(values.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def parts(
    model: Callable, x: Float[Tensor, "n c h w"], y: Int[Tensor, "n"], *, eps: float, batch: int = 100
) -> tuple[dict[str, Tensor], Tensor, Tensor]:
    """The indicator of every image; which are rightly classified; and for which J says something: finite and not all 0.

    Images without one are left out of any statistics, and counted by the caller.
    """
    rows = [indicator.report(model, a, b, eps=eps) for a, b in zip(x.split(batch), y.split(batch), strict=True)]
    found = {name: torch.cat([row[name] for row in rows]) for name in rows[0]}
    finite = torch.stack([column.isfinite() for column in found.values()]).all(0)
    return found, found["S"] > 0, finite & (found["l1_J"] > 0)


def quantiles(values: Float[Tensor, "n"]) -> dict[str, float]:
    """The 5, 25, 50, 75 and 95 % quantiles."""
    levels = {"q05": 0.05, "q25": 0.25, "median": 0.5, "q75": 0.75, "q95": 0.95}
    return {name: float(values.double().quantile(q)) for name, q in levels.items()}


def collect(folder: Path) -> dict:
    """``published.json`` from the published edition in ``folder``: its records, cards and weights, and the data sets."""
    from paperlib import data, plot, zoo

    whole = {}
    for name, table in TABLES.items():
        record = json.loads((folder / "results" / f"{table}.json").read_text(encoding="utf-8"))
        dataset = data.load(name)
        index = dataset.test.balanced(IMAGES)
        x, y = dataset.test.x[index], dataset.test.y[index]
        networks = {}
        for method, made in record["models"].items():
            trained = zoo.load(folder / "models" / f"{made['name']}.safetensors")
            row, scale = record["values"][method], dataset.pixel_scale
            networks[method] = {
                "label": METHODS.get(method, method), "model": made["name"], "file_sha256": trained.sha256,
                "weights_sha256": weights_hash(trained.model), "clean": row["clean"], "worst": row["worst"],
                "indicator": medians(trained.model, x, y, eps=min(record["parameters"]["eps"]) / scale),
            }  # fmt: skip
        whole[name] = {
            "sha256": dataset.sha256, "pixel_scale": dataset.pixel_scale, "shape": list(dataset.shape), "table": table,
            "classes": dataset.classes, "class_names": list(plot.CLASSES.get(name, ())),
            "images": record["parameters"]["images"], "indicator_images": IMAGES, "networks": networks,
        }  # fmt: skip
    return whole


def medians(model: Callable, x: Float[Tensor, "n c h w"], y: Int[Tensor, "n"], *, eps: float) -> dict:
    """Quantiles of the indicator's parts over the rightly classified images on which J says something."""
    found, right, telling = parts(model, x, y, eps=eps)
    return {name: quantiles(found[name][right & telling]) for name in PARTS}


def write() -> Path:
    """Writes ``published.json`` anew; needs the repository and the data."""
    from paperlib import pipeline
    from paperlib.findings import edition_dir

    pipeline.write_atomic(FILE, json.dumps(collect(edition_dir()), indent=1, ensure_ascii=False) + "\n")
    return FILE


if __name__ == "__main__":
    print(write())
