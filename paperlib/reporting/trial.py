"""What is measured of one network for its report, in pieces that an interrupted call finds again."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from paperlib import cascade, evaluate, fingerprint, indicator, intervals, oracle
from paperlib.reporting import examples, references
from paperlib.reporting.pieces import Pieces, Progress
from paperlib.reporting.wrap import Wrapped
from paperlib.state import evaluating

PROBE = 20  # images after which it is known how many fit
CHUNK = 50  # images whose worst case is written down together
STEPS = 70  # gradients of the quick level at one size of an image that is left unbroken
PER_MASKING = 250  # gradients that the signs of masking take an image, about
LADDER = (5, 10, 20, 30, 50, 70, 100, 150, 200, 300, 500, 700, 1000)


@dataclass(frozen=True)
class Level:
    """How much is tried: the ``seconds`` that it may take (images are left out to keep to it), the most ``images``, images
    for the signs of masked gradients, points along each axis of a surface, and whether AutoAttack runs too.
    """

    seconds: float
    images: int
    masking: int
    grid: int
    oracle: bool = False


LEVELS = {
    "quick": Level(seconds=90, images=500, masking=50, grid=25),
    "standard": Level(seconds=1800, images=1000, masking=200, grid=33),
    "strong": Level(seconds=float("inf"), images=1000, masking=500, grid=41, oracle=True),
}


@dataclass(frozen=True)
class Asked:
    """The settings of one report, sizes on the [0, 1] scale."""

    eps: float
    level: str
    data: str
    name: str
    pixel_scale: int
    classes: int
    class_names: tuple[str, ...]
    n: int | None
    seed: int
    data_sha256: str

    @property
    def unit(self) -> str:
        """What stands behind a number in the data's own unit."""
        return "" if self.pixel_scale == 1 else f"/{self.pixel_scale}"

    def key(self, size: float) -> str:
        """A size as the number in the data's own unit: 8 for 8/255."""
        return f"{size * self.pixel_scale:.6g}"

    @property
    def sizes(self) -> list[float]:
        """Eps and, up to twice that, the published sizes for these data; without such, half and twice eps."""
        asked = {self.key(size): size for size in (self.eps / 2, self.eps, 2 * self.eps) if size <= 1}
        published = references.of(self.data, self.data_sha256).get("networks", {})
        known = {float(size) for network in published.values() for size in network["worst"]}
        near = {self.key(s / self.pixel_scale): s / self.pixel_scale for s in known if s / self.pixel_scale <= 2 * self.eps}
        if near:
            # the published sizes make half and double unnecessary
            asked = {self.key(self.eps): self.eps}
        return sorted((near | asked).values())


class Trial:
    """The measurements in their order, each stored under the hash of network, images, settings and code."""

    def __init__(self, network: Callable, x: Tensor, y: Tensor, asked: Asked, store: str | Path | None, bar: Progress, *,
                 weights: str | None, name: str):  # fmt: skip
        self.network, self.x, self.y, self.asked, self.bar = network, x, y, asked, bar
        self.level, self.sizes = LEVELS[asked.level], asked.sizes
        self.weights, self.name = weights, name
        self.logits = self._logits(0, min(PROBE, len(y)))
        # what other code has measured is no part of this, and rounding must not make another network of the same one
        code = fingerprint.code_digest(fingerprint.module_paths("import paperlib.reporting.trial"))
        self.of = fingerprint.tensors_digest([repr(asked), weights, code], (1e3 * self.logits.double()).round(), x, y)
        self.pieces = Pieces(store, self.of)

    def everything(self) -> tuple[dict, dict]:
        """``values`` without sentences, and ``pictures``."""
        plan = self.pieces.kept("plan", self._plan)
        n = int(plan["n"])
        self._expect(n, plan)
        self.logits = torch.cat([self.logits, self._logits(len(self.logits), n)])[:n]
        unbroken, by, names, last = self._worst(n, int(plan["first"]))
        parts = self.pieces.kept("indicator", lambda: self._indicator(n))
        shown, pictures = self._examples(n, by, parts, int(plan["grid"]))
        masking = self.pieces.kept("masking", lambda: self._masking(int(plan["masking"])))
        finite = self.logits.isfinite().all(1)[:n]
        right = (self.logits[:n].argmax(1) == self.y[:n]) & finite
        worst = {
            self.asked.key(size): intervals.accuracy(unbroken[e]) | {"broken_by": _counts(by[e], names)}
            for e, size in enumerate(self.sizes)
        }
        values = self._settings(n, plan, finite)
        values["data"]["no_gradient"] = (finite.cpu() & torch.from_numpy(parts["telling"] == 0)).nonzero()[:, 0].tolist()
        values |= {
            "clean": intervals.accuracy(right), "worst": worst, "stages": list(names),
            "indicator": self._parts(parts, right), "examples": shown,
            "masking": {k: float(v) for k, v in masking.items()}, "masking_images": int(plan["masking"]),
            "autoattack": self._autoattack(n, unbroken), "last_size": self.asked.key(self.sizes[-1]), "last_round": last,
        }  # fmt: skip
        return values, pictures

    def _settings(self, n: int, plan: dict, finite: Tensor) -> dict:
        asked, network = self.asked, self.network
        counts = torch.bincount(self.y[:n].cpu(), minlength=asked.classes)
        module = isinstance(network, nn.Module)
        return {
            "format": 1,
            "question": {
                "eps": asked.eps, "key": asked.key(asked.eps), "unit": asked.unit, "pixel_scale": asked.pixel_scale,
                "norm": "linf", "sizes": self.sizes, "level": asked.level, "seed": asked.seed, "n_by_time": asked.n is None
                and n < min(self.level.images, len(self.y)), "grid": int(plan["grid"]),
            },
            "network": {
                "name": self.name, "kind": kind(network),
                "parameters": sum(p.numel() for p in network.parameters()) if module else None,
                "weights_sha256": self.weights, "device": str(self.x.device), "outputs": self.logits.shape[1],
            },
            "data": {
                "name": asked.data, "sha256": fingerprint.tensors_digest([], self.x[:n], self.y[:n]), "images": n,
                "shape": list(self.x.shape[1:]),
                "given": len(self.y), "classes": asked.classes, "class_names": list(asked.class_names),
                "missing_classes": (counts == 0).nonzero()[:, 0].tolist(), "not_finite": (~finite).nonzero()[:, 0].tolist(),
            },
            "chance": 100 / self.logits.shape[1], "published": references.of(asked.data, asked.data_sha256),
        }  # fmt: skip

    def _logits(self, start: int, end: int) -> Float[Tensor, "n K"]:
        if end <= start:
            return self.logits[:0]
        with torch.no_grad(), evaluating(self.network):
            return torch.cat([self.network(part.clone()).detach() for part in self.x[start:end].split(100)])

    def _plan(self) -> dict:
        """How many images, surfaces' points and images for masking fit the level's time, after the first images' worst case.

        A level without a limit of time attacks all its images in one piece, which keeps its own state; with ``n`` given,
        nothing is left out for want of time either, so that no number depends on the machine.
        """
        asked, level, most = self.asked, self.level, len(self.y)
        self.bar.at("timing the network")
        step = self._step()
        # an image that no attack breaks takes so many gradients at each size
        slow = STEPS * len(self.sizes) * step > 0.45 * level.seconds / PROBE
        first = min(PROBE // 4 if slow and not asked.n else PROBE, most)
        if level.seconds == float("inf"):
            return {"n": most, "first": most, "grid": level.grid, "masking": min(level.masking, most),
                    "step": step, "rate": 300 * step}  # fmt: skip
        began = time.perf_counter()
        self._chunk(0, first)
        rate = (time.perf_counter() - began) / first
        if asked.n:
            return {"n": most, "first": first, "grid": level.grid, "masking": min(level.masking, most), "step": step,
                    "rate": rate}  # fmt: skip
        n = max([k for k in (*LADDER, most) if first <= k <= most and k * rate <= 0.45 * level.seconds], default=first)
        grids = [k for k in (level.grid, 25, 17, 11) if k <= level.grid and 10 * k * k * step <= level.seconds]
        grid = max(grids, default=7)
        left = level.seconds - n * rate - 5 * n * step - 1.5 * grid**2 * step
        fit = [k for k in (*LADDER, n) if k <= min(level.masking, n) and PER_MASKING * k * step <= left]
        return {"n": n, "first": first, "grid": grid, "masking": max(fit, default=0), "step": step, "rate": rate}

    def _step(self) -> float:
        """Seconds of one gradient of one image."""
        few = min(8, len(self.y))
        indicator.jacobian(self.network, self.x[:1], self.y[:1])
        began = time.perf_counter()
        # the sum waits for an accelerator
        float(indicator.jacobian(self.network, self.x[:few], self.y[:few]).sum())
        return (time.perf_counter() - began) / few

    def _expect(self, n: int, plan: dict) -> None:
        """Seconds of what is still to come, from the time of one gradient and of one image's worst case."""
        step, rate = float(plan["step"]), float(plan["rate"])
        phases = {"worst case": n * rate, "indicator": 5 * n * step, "surfaces": 1.5 * int(plan["grid"]) ** 2 * step,
                  "masked gradients": PER_MASKING * int(plan["masking"]) * step}  # fmt: skip
        if self.level.oracle and oracle.available():
            phases["AutoAttack"] = 2 * n * rate
        self.bar.expect(**phases)

    def _chunk(self, start: int, end: int) -> dict:
        """The worst case of some images; one whose outputs are not finite is never right."""

        def make() -> dict:
            x, y = self.x[start:end], self.y[start:end]
            usable = self.logits[start:end].isfinite().all(1)
            if not usable.any():
                return {
                    "unbroken": np.zeros((len(self.sizes), len(y)), bool),
                    "by": np.zeros((len(self.sizes), len(y)), int),
                }
            stages = cascade.LEVELS[self.asked.level]
            unbroken = torch.zeros(len(self.sizes), len(y), dtype=torch.bool)
            by = torch.zeros(len(self.sizes), len(y), dtype=torch.long)
            found = cascade.worst_case(
                self.network, x[usable], y[usable], eps=self.sizes, cascade=stages, batch=100, seed=self.asked.seed,
                store=self.pieces.folder, of=self.of, progress=self.bar.shown and self.level.seconds == float("inf"),
            )  # fmt: skip
            unbroken[:, usable.cpu()], by[:, usable.cpu()] = found.unbroken.cpu(), found.broken_by.cpu().long()
            return {
                "unbroken": unbroken.numpy(),
                "by": by.numpy(),
                "names": np.array(found.names),
                "last": np.array([each * int(usable.sum()) / len(y) for each in found.last]),
            }

        return self.pieces.kept(f"worst-{start}-{end}", make)

    def _worst(self, n: int, first: int) -> tuple[Bool[Tensor, "e n"], Int[Tensor, "e n"], list[str], float | None]:
        """Flags of every size and image, the stages' names, and the share of images (percent) that the last round of
        restarts broke at eps, where all images went through them together."""
        ends = sorted({0, min(first, n), *range(first + CHUNK, n, CHUNK), n})
        parts = []
        for start, end in pairwise(ends):
            self.bar.at("worst case", start / n, f"{start} of {n} images")
            parts.append(self._chunk(start, end))
        unbroken, by = (
            torch.from_numpy(np.concatenate([part[key] for part in parts], axis=1))[:, :n] for key in ("unbroken", "by")
        )
        whole = next((part for part in parts if "names" in part), {"names": np.array(["clean"]), "last": np.array([])})
        restarted = len(parts) == 1 and len(whole["last"]) and whole["names"][-1] == "restarts"
        last = float(whole["last"][self.sizes.index(self.asked.eps)]) if restarted else None
        return unbroken, by, whole["names"].tolist(), last

    def _indicator(self, n: int) -> dict:
        self.bar.at("indicator")
        found, right, telling = references.parts(self.network, self.x[:n], self.y[:n], eps=self.asked.eps)
        return {
            name: column.double().cpu().numpy() for name, column in (found | {"right": right, "telling": telling}).items()
        }

    def _parts(self, parts: dict, right: Tensor) -> dict:
        telling, kept = parts["telling"] > 0, (parts["telling"] > 0) & right.cpu().numpy()
        found = {"images": int(kept.sum()), "left_out": {"wrong": int((~right).sum()), "no_gradient": int((~telling).sum())},
                 "parts": {}}  # fmt: skip
        if kept.any():
            found["linear_robust"] = intervals.wilson(int(parts["linear_robust"][kept].sum()), int(kept.sum()))
            for name in references.PARTS:
                column = torch.from_numpy(parts[name][kept])
                found["parts"][name] = intervals.median_interval(column) | references.quantiles(column) | _histogram(column)
        return found

    def _examples(self, n: int, by: Tensor, parts: dict, grid: int) -> tuple[dict, dict]:
        # the index of the first size that broke an image; beyond the last for one left unbroken
        fallen = torch.where(by >= 0, torch.arange(len(by))[:, None], len(by)).amin(0)
        among = torch.from_numpy((parts["right"] > 0) & (parts["telling"] > 0))
        roles = examples.chosen(fallen, torch.from_numpy(parts["linear_distance"]), among)
        numbers, pictures = {}, {}
        for k, (role, i) in enumerate(roles.items()):
            self.bar.at("surfaces", k / len(roles), f"{k} of {len(roles)} images")
            held = self.pieces.kept(f"example-{i}", lambda i=i: self._example(i, grid))
            pictures[role] = {name: held[name] for name in ("image", "attacked", "S", "axis")}
            size = self.sizes[int(fallen[i])] if int(fallen[i]) < len(self.sizes) else None
            numbers[role] = json.loads(str(held["numbers"])) | {
                "image": i, "linear_distance": float(parts["linear_distance"][i]), "broken_at": size,
                "grid": np.round(held["S"], 5).tolist(),
            }  # fmt: skip
        return numbers, pictures

    def _example(self, i: int, grid: int) -> dict:
        numbers, pictures = examples.examined(
            self.network, self.x[i : i + 1], self.y[i : i + 1], eps=self.asked.eps, steps=grid, seed=self.asked.seed
        )
        return pictures | {"numbers": np.array(json.dumps(numbers))}

    def _masking(self, m: int) -> dict:
        self.bar.at("masked gradients", what=f"{m} images")
        usable = self.logits[:m].isfinite().all(1)
        # none fits the level's time, or none has finite outputs
        if not usable.any():
            return {}
        generator = torch.Generator().manual_seed(self.asked.seed)
        return evaluate.masking(
            self.network, self.x[:m][usable], self.y[:m][usable], eps=self.asked.eps, step_size=self.asked.eps / 4,
            generator=generator,
        )  # fmt: skip

    def _autoattack(self, n: int, unbroken: Tensor) -> dict | None:
        """AutoAttack at eps on the same images, at the level that has it and where its package is installed."""
        if not (self.level.oracle and oracle.available()):
            return None
        self.bar.at("AutoAttack", what=f"{n} images")
        flags = oracle.autoattack(self.network, self.x[:n], self.y[:n], eps=self.asked.eps, seed=self.asked.seed,
                                  store=self.pieces.folder, of=self.of, progress=self.bar.shown).cpu()  # fmt: skip
        ours = unbroken[self.sizes.index(self.asked.eps)]
        return intervals.accuracy(flags) | {
            "only_it_broke": int((ours & ~flags).sum()),
            "only_ours": int((flags & ~ours).sum()),
        }


def kind(network: Callable) -> str:
    """The name of a network's class, whatever it was wrapped in to be measured."""
    return type(network.network if isinstance(network, Wrapped) else network).__name__


def _histogram(column: Float[Tensor, "n"], bins: int = 24) -> dict:
    """Counts in equal steps of the logarithm, and how many values are not above 0 and so not in them."""
    above = column[column > 0].log10().numpy()
    if len(above) == 0:
        return {"edges": [], "counts": [], "zeros": len(column)}
    low, high = above.min(), above.max()
    spread = max(high - low, 0.1)
    counts, edges = np.histogram(above, bins=bins, range=((low + high - spread) / 2, (low + high + spread) / 2))
    return {"edges": (10**edges).tolist(), "counts": counts.tolist(), "zeros": len(column) - len(above)}


def _counts(by: Int[Tensor, "n"], names: list[str]) -> dict[str, int]:
    return {name: int((by == k).sum()) for k, name in enumerate(names)}
