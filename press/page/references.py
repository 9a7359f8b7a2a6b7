"""The published networks' numbers for the package, from the edition's records, cards and weights."""

from collections.abc import Callable
from pathlib import Path

from jaxtyping import Float, Int
from torch import Tensor

from paperlib import data, names, sealed
from paperlib.reporting.references import FILE, IMAGES, PARTS, TABLES, parts, quantiles, weights_hash
from press.page import manifest
from press.page.findings import edition_dir
from press.run import zoo


def collect(folder: Path) -> dict:
    """``published.json`` from the published edition in ``folder``: its records, cards and weights, and the data sets."""

    whole = {}
    for name, table in TABLES.items():
        record = sealed.read_json(folder / "results" / f"{table}.json")
        dataset = data.load(name)
        index = dataset.test.balanced(IMAGES)
        x, y = dataset.test.x[index], dataset.test.y[index]
        networks = {}
        for method, made in record["models"].items():
            trained = zoo.load(folder / "models" / f"{made['name']}.safetensors")
            row, scale = record["values"][method], dataset.pixel_scale
            networks[method] = {
                "label": names.network(method).label, "model": made["name"], "file_sha256": trained.sha256,
                "weights_sha256": weights_hash(trained.model), "clean": row["clean"], "worst": row["worst"],
                "indicator": medians(trained.model, x, y, eps=min(record["parameters"]["eps"]) / scale),
            }  # fmt: skip
        whole[name] = {
            "sha256": dataset.sha256, "pixel_scale": dataset.pixel_scale, "shape": list(dataset.shape), "table": table,
            "classes": dataset.classes, "class_names": list(names.data(name).classes),
            "images": record["parameters"]["images"], "indicator_images": IMAGES, "networks": networks,
        }  # fmt: skip
    return whole


def medians(model: Callable, x: Float[Tensor, "n c h w"], y: Int[Tensor, "n"], *, eps: float) -> dict:
    """Quantiles of the indicator's parts over the rightly classified images on which J says something."""
    found, right, telling = parts(model, x, y, eps=eps)
    return {name: quantiles(found[name][right & telling]) for name in PARTS}


def write() -> Path:
    """Writes ``published.json`` anew; needs the repository and the data. Raises EditionError for a damaged edition."""
    manifest.check()
    sealed.write_json(FILE, collect(edition_dir()))
    return FILE


if __name__ == "__main__":
    print(write())
