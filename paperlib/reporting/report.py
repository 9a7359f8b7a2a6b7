"""One network, one page: is it robust, how is that known, and where does it stand?

``report`` (as ``paperlib.report``) measures a network (``paperlib.reporting.trial``), turns the numbers into sentences
(``paperlib.reporting.rules``) and sets both on one page (``paperlib.reporting.page``).
"""

import json
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from paperlib import __version__, oracle, provenance
from paperlib.data import Split
from paperlib.files import write_atomic
from paperlib.refusal import InputError, check_choice, check_count, is_number, reject
from paperlib.reporting import checks, page, references, rules
from paperlib.reporting.pieces import Progress
from paperlib.reporting.trial import LEVELS, Asked, Trial, kind
from paperlib.state import check_batch

EXAMINED = 64  # images on which a network is tried before it is measured


class Report:
    """What was measured of one network: ``values`` (numbers, intervals, sentences, settings, hashes) and ``pictures``
    (arrays behind the surfaces and images). It shows itself in a notebook; ``save`` writes the page.
    """

    def __init__(self, values: dict, pictures: dict[str, dict[str, np.ndarray]]):
        self.values, self.pictures = values, pictures

    def _repr_html_(self) -> str:

        return page.fragment(self.values, self.pictures)

    def __repr__(self) -> str:
        return "\n".join(said["sentence"] for said in self.values["answer"])

    def save(self, path: str | Path) -> Path:
        """Writes the page at ``path`` and every number beside it, under the same name with ``.json``; returns ``path``."""

        path = Path(path)
        reject(path.suffix.lower() not in (".html", ".htm"), f"out is {path}; allowed is a file name that ends in .html")
        text = json.dumps(self.values, indent=1, allow_nan=False, ensure_ascii=False) + "\n"
        write_atomic(path, page.whole(self.values, self.pictures, numbers=path.with_suffix(".json").name))
        write_atomic(path.with_suffix(".json"), text)
        return path


def report(
    network: Callable, x: Float[Tensor, "n c h w"], y: Int[Tensor, "n"], *, eps: float, level: str = "quick",
    data: str = "", name: str = "", pixel_scale: int | None = None, class_names: Sequence[str] = (), n: int | None = None,
    seed: int = 0, store: str | Path | None = None, data_sha256: str = "", command: str = "", notes: Sequence[str] = (),
    progress: bool = False, classes: int | None = None, index: Int[Tensor, "n"] | None = None, given: int | None = None,
) -> Report:  # fmt: skip
    """Judges a network on images in [0, 1] with integer labels; ``eps`` is an l-infinity size on the [0, 1] scale (8/255).

    ``level`` is ``quick``, ``standard`` or ``strong``. ``data`` names the data set (``mnist``, ``cifar10``), so that
    published networks of the same data stand beside this one; ``n`` is how many images are attacked, the classes in turn
    (default: as many as fit the level's time). Sizes are printed in 1/``pixel_scale`` (default: 255 for colour, 1 for
    grey). With ``store``, a folder, an interrupted call goes on where it stopped. ``notes`` are sentences that the reader
    of the weights or the data wants said. Where the images were chosen from a larger data set, ``classes`` is how many it
    has, ``index`` each image's place in it, and ``given`` its size. The network is left as it was found. Raises InputError
    and NetworkError, in one sentence, before any attack.
    """
    began, started = time.perf_counter(), datetime.now(UTC)
    x, y = _tensor("x", x), _tensor("y", y)
    asked = _asked(x, y, eps=eps, level=level, data=data, name=name, pixel_scale=pixel_scale, class_names=class_names, n=n,
                   seed=seed, data_sha256=data_sha256, classes=classes)  # fmt: skip
    device = next((p.device for p in network.parameters()), x.device) if isinstance(network, nn.Module) else x.device
    weights = references.weights_hash(network)
    given, order = given or len(y), Split(x, y).balanced(min(n or LEVELS[level].images, len(y)))
    x, y, index = x[order].to(device), y[order].to(device), order if index is None else index[order]
    found = checks.examine(network, x[:EXAMINED], y[:EXAMINED], classes=asked.classes, index=index[:EXAMINED])
    with Progress(shown=progress) as bar:
        values, pictures = Trial(
            found.model, x, y, asked, store, bar, weights=weights, name=name or kind(network)
        ).everything()
    values["data"]["given"] = given
    values["data"]["indices"] = index[: values["data"]["images"]].tolist()
    values["notes"] = [{"kind": note.kind, "sentence": _sentence(note.sentence)} for note in found.notes]
    values["notes"] += [{"kind": "reader", "sentence": _sentence(text)} for text in notes]
    values["provenance"] = _provenance(command or _call(asked), started, time.perf_counter() - began)
    return Report(provenance.plain(rules.judged(values)), pictures)


def recorded(values: dict) -> dict:
    """The numbers of a report as a record of the book has them: intervals by name, sizes in the data's own unit."""
    plain = ("mean", "low", "high", "n")
    parts, left_out = values["indicator"]["parts"], values["indicator"]["left_out"]
    medians = {name: {key: part[key] for key in plain} | {"unit": ""} for name, part in parts.items()}
    if parts:
        medians["linear_robust"] = values["indicator"]["linear_robust"]
    worst = {key: {name: of[name] for name in plain} for key, of in values["worst"].items()}
    return {
        "clean": values["clean"], "worst": worst, "indicator": medians, "left_out": left_out, "masking": values["masking"],
        "images": values["data"]["images"],
    }  # fmt: skip


def _tensor(name: str, values: object) -> Tensor:
    """What may be an array or a list as a tensor. Raises InputError."""
    try:
        return torch.as_tensor(values)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{name} is no array of numbers ({error}); allowed is a tensor or an array") from error


def _asked(x: Tensor, y: Tensor, **options) -> Asked:
    check_batch(x, y)
    eps, level, n = options["eps"], options["level"], options["n"]
    number = is_number(eps) and 0 < eps <= 1
    reject(not number, f"eps is {eps!r}; allowed is a number above 0 and at most 1, such as 8/255")
    check_choice("level", level, LEVELS)
    check_count("seed", options["seed"], least=0)
    reject(len(y) == 0, "y is empty; allowed is at least one image")
    scale = options["pixel_scale"]
    for key, value, most in (("n", n, len(y)), ("pixel_scale", scale, None), ("classes", options["classes"], None)):
        if value is not None:
            check_count(key, value, most=most)
    scale = scale or (1 if x.shape[1] == 1 else 255)
    known = references.of(options["data"], options["data_sha256"])
    if known and list(x.shape[1:]) != known["shape"]:
        known = {}
    names = tuple(map(str, options["class_names"] or known.get("class_names", ())))
    # labels that no image has are still classes
    classes = max(int(y.max()) + 1, known.get("classes", 0), len(names), options["classes"] or 0)
    data = known.get("name") or options["data"]
    return Asked(float(eps), level, data, options["name"], scale, classes, names, n, options["seed"], options["data_sha256"])


def _call(asked: Asked) -> str:
    size = asked.key(asked.eps) + asked.unit
    data = f", data={asked.data!r}" if asked.data else ""
    return f"paperlib.report(network, x, y, eps={size}, level={asked.level!r}{data}, seed={asked.seed})"


def _sentence(text: str) -> str:
    text = text.strip()
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


def _provenance(command: str, started: datetime, seconds: float) -> dict:
    return {
        "command": command, "paperlib": __version__, "git_commit": provenance.git_commit(),
        "autoattack": oracle.available(), "environment": provenance.environment(),
        "started": started.isoformat(timespec="seconds"), "seconds": round(seconds, 1),
    }  # fmt: skip
