"""One network of the book as ``paperlib report`` judges it: the whole, and of its numbers those that the book quotes."""

import json
from pathlib import Path

import numpy as np

from paperlib.record import Measured
from paperlib.train import Trained


def measure(networks: dict[str, Trained], *, eps: float, level: str, images: int, seed: int, store: Path) -> Measured:
    """The report of the one network; the array ``report`` holds all its values as JSON, which the page is drawn from."""
    # late, for the science does without the report
    from paperlib.reporting import report as reporting

    (trained,) = networks.values()
    data = trained.dataset
    found = reporting.report(
        trained.model, data.test.x, data.test.y, eps=data.to_input(eps), level=level, data=data.name,
        data_sha256=data.sha256, name=trained.name, pixel_scale=data.pixel_scale, n=images, seed=seed, store=store / "parts",
    )  # fmt: skip
    arrays = {f"{role}/{name}": array for role, held in found.pictures.items() for name, array in held.items()}
    arrays["report"] = np.array(json.dumps(found.values))
    return Measured(reporting.recorded(found.values), arrays, ((data, images),), {"attack": seed})
