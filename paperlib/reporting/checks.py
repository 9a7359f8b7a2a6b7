"""Is this network one that can be judged? ``examine`` tries it before anything is measured.

What makes every number wrong is refused in one sentence (NetworkError); what a reader must know beside the numbers is a
``Note``. One image alone is tried first, then the same images twice, then among other neighbours.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from paperlib.intervals import wilson
from paperlib.objective import decision, right
from paperlib.reporting.rules import FIRST
from paperlib.reporting.wrap import NetworkError, Wrapped, fitting_batch
from paperlib.state import check_batch, evaluating, modules_of, reject

# images on which a network is tried before it is measured
TRIED = 64
# units that networks expect, as mean and standard deviation of images in [0, 1]
RANGES = {
    "values of 0 to 255": ((0.0,), (1 / 255,)), "values of -1 to 1": ((0.5,), (0.5,)),
    "images normalised as ImageNet's": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}  # fmt: skip


@dataclass(frozen=True)
class Note:
    """One thing to know beside the numbers: its kind, a sentence, and the images that it is about, if not all."""

    kind: str
    sentence: str
    images: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Findings:
    """What ``examine`` found: the network to measure, notes with the gravest first, and flags of each image.

    ``right``: classified rightly; ``finite``: its logits are finite; ``sloped``: so is the margin's gradient, and not zero.
    """

    model: Wrapped
    notes: list[Note]
    right: Bool[Tensor, "n"]
    finite: Bool[Tensor, "n"]
    sloped: Bool[Tensor, "n"]


def examine(
    model: Callable, x: Float[Tensor, "n c h w"], y: Int[Tensor, "n"], *, classes: int,
    index: Int[Tensor, "n"] | None = None,
) -> Findings:  # fmt: skip
    """Try a network on images before it is measured; raises NetworkError, in one sentence, for one that cannot be judged.

    Refused: failures on one image alone or on many, outputs that are no logits of at least ``classes`` classes, softmax
    outputs, outputs that change from call to call (unless ``Wrapped`` averages them) or with an image's neighbours, and
    those that autograd cannot follow. ``index`` are the images' numbers in the notes, if not 0..n-1. The network is called
    on copies and left as it was.
    """
    check_batch(x, y)
    reject(len(x) == 0, "x holds no images; allowed is at least one")
    network = model if isinstance(model, Wrapped) else Wrapped(model)
    x, tried = x.detach(), x.detach()[:TRIED]
    buffers = {name: buffer.clone() for name, buffer in network.named_buffers()}
    network.least = max(classes, 2)
    with evaluating(network), torch.random.fork_rng(devices=[]):
        notes = _alone(network, tried)
        network.batch = fitting_batch(network.once, tried[:1])
        notes += _same_twice(network, tried) + _same_anywhere(network, tried) + _within_range(network, tried)
        Z, J = _differentiated(network, x, y)
        notes += _outputs(network, Z, tried) + _headless(Z) + _accuracy(network, Z, x, y, classes)
    notes += _pixels(x) + _broken(Z, J, index) + _state(network, buffers)
    finite, slope = Z.isfinite().all(1), J.flatten(1)
    sloped = finite & slope.isfinite().all(1) & slope.any(1)
    notes.sort(key=lambda note: FIRST.index(note.kind) if note.kind in FIRST else len(FIRST))
    return Findings(network, notes, right(Z, y), finite, sloped)


# Trying it.


def _try(network: Wrapped, x: Tensor) -> Tensor:
    with torch.no_grad():
        return network(x)


def _alone(network: Wrapped, tried: Tensor) -> list[Note]:
    """One image alone, then all: their logits' shape, whether they are logits, and whether the images stay as they are."""
    try:
        Z = _try(network, tried[:1])
    except NetworkError as error:
        _try(network, tried)
        if len(tried) == 1:
            raise
        raise NetworkError(f"the network takes {len(tried)} images at once, but not one alone: {error}") from error
    if Z.shape[1] < network.least:
        n = len(tried)
        raise NetworkError(f"the network returns {(n, Z.shape[1])} for {n} images; allowed are logits ({n}, K) with K >= "
                           f"{network.least}")  # fmt: skip
    _try(network, tried)
    sentence = "the network changes the images that it is given, in place; it gets a copy at every call"
    return [Note("in place", sentence)] if _changes_images(network, tried) else []


def _changes_images(network: Wrapped, x: Tensor) -> bool:
    given = x.to(device=network.place, dtype=network.dtype, copy=True)
    before = given.clone()
    with torch.no_grad():
        # straight past the copy that ``Wrapped`` makes
        network.network(given)
    return not torch.equal(given, before)


def _tolerance(network: Wrapped, Z: Tensor) -> float:
    """How far rounding may take two computations of the same logits apart."""
    spread = Z[Z.isfinite()].abs().amax() if Z.isfinite().any() else 0.0
    return float(spread) * (0.05 if _is_coarse(network, Z) else 1e-3) + 1e-12


def _is_coarse(network: Wrapped, Z: Tensor) -> bool:
    """Whether logits were computed in half precision: by the network's weights, or by autocast, which their values show."""
    halves = (torch.float16, torch.bfloat16)
    return network.dtype in halves or any(torch.equal(Z, Z.to(half).to(Z)) for half in halves)


def _apart(first: Tensor, second: Tensor) -> float:
    """The largest difference of two tensors of logits; entries that are not finite count if only one of them is not."""
    if not torch.equal(first.isfinite(), second.isfinite()):
        return float("inf")
    both = first.isfinite()
    return float((first - second)[both].abs().amax()) if both.any() else 0.0


def _same_twice(network: Wrapped, tried: Tensor) -> list[Note]:
    if network.average > 1:
        text = (f"the network is random: its logits are the mean of {network.average} passes, and an image counts as broken "
                "once such a mean is wrong")  # fmt: skip
        passes, calls = [], network.calls
        for _ in range(2):
            network.calls = calls
            passes.append(_try(network, tried))
        repeats = _apart(*passes) <= _tolerance(network, passes[0])
        return [Note("averaged", text if repeats else f"{text}; no seed of torch's fixes its numbers")]
    first, second = _try(network, tried), _try(network, tried)
    apart = _apart(first, second)
    if apart > _tolerance(network, first):
        raise NetworkError(f"the network's logits change by up to {apart:.3g} between two calls on the same images (dropout "
                           "or noise that eval() does not reach); allowed is a network without chance, or its mean with "
                           "--average N (average=N)")  # fmt: skip
    return []


def _same_anywhere(network: Wrapped, tried: Tensor) -> list[Note]:
    """Refused: logits of an image that depend on the others of its batch."""
    if network.average > 1:
        return []
    together, few = _try(network, tried), tried[:4]
    alone = torch.cat([_try(network, image[None]) for image in few])
    # the same images again, beside others than before
    elsewhere = _try(network, torch.cat([few, 1 - few]))[: len(few)]
    apart = max(_apart(together[: len(few)], other) for other in (alone, elsewhere))
    if apart > _tolerance(network, together):
        raise NetworkError(f"the network's logits of an image change by up to {apart:.3g} with the other images of its "
                           "batch (as BatchNorm without running statistics does); allowed is a network that judges each "
                           "image alone")  # fmt: skip
    return []


def _within_range(network: Wrapped, tried: Tensor) -> list[Note]:
    """Values a little outside [0, 1], where a curvature is measured; a network that refuses them gets them clipped."""
    try:
        _try(network, tried[:2] + 0.05 * torch.where(tried[:2] > 0.5, 1.0, -1.0).to(tried))
    except NetworkError:
        network.clip = True
        sentence = "the network refuses values outside [0, 1]; where a measurement leaves them, they are clipped"
        return [Note("clipped", sentence)]
    return []


def _differentiated(network: Wrapped, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Logits and the margin's gradient of every image. Raises NetworkError where autograd cannot follow, and where no
    image has finite ones."""
    size, parts = network.batch or 500, []
    for images, labels in zip(x.split(size), y.split(size), strict=True):
        parts.append(_gradient(network, images, labels))
    Z, J = (torch.cat(part) for part in zip(*parts, strict=True))
    for what, values in (("the network's logits", Z), ("the gradients of its margin", J)):
        broken = int((~values.isfinite()).flatten(1).any(1).sum())
        if broken == len(x):
            raise NetworkError(f"{what} are not finite for {broken} of {len(x)} images; allowed are finite numbers")
    return Z, J


def _gradient(network: Wrapped, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    z, J = x.clone().requires_grad_(True), None
    with torch.enable_grad():
        Z = network(z)
        if int(y.max()) >= Z.shape[1]:
            raise NetworkError(f"y holds {int(y.max())}; allowed are labels below {Z.shape[1]}, the network's logits")
        if Z.requires_grad:
            (J,) = torch.autograd.grad(decision(Z, y).sum(), z, allow_unused=True)
    if J is None:
        raise NetworkError("the network's logits do not depend differentiably on the image, as under torch.no_grad() or "
                           "after detach(); allowed is a forward pass that autograd can follow")  # fmt: skip
    return Z.detach(), J


# What the outputs tell.


def _outputs(network: Wrapped, Z: Tensor, tried: Tensor) -> list[Note]:
    """Probabilities are refused; outputs that are bounded in another way are named."""
    Z = Z[Z.isfinite().all(1)]
    if len(Z) == 0 or not Z.any():
        return []
    coarse = 1e-2 if _is_coarse(network, Z) else 1e-4
    sums, low = Z.sum(1), float(Z.min())
    if low >= 0 and bool((sums - 1).abs().amax() <= coarse):
        raise NetworkError("the network's outputs are at least 0 and sum to 1: they are probabilities, whose margins and "
                           "gradients say nothing of distances; allowed are logits, so leave the last softmax "
                           "out")  # fmt: skip
    if low >= 0 and bool((sums - sums.mean()).abs().amax() <= coarse * sums.mean()):
        return [_bounded(f"at least 0 and sum to {float(sums.mean()):.4g}")]
    far = _far(network, tried)
    for least, most in ((0.0, 1.0), (-1.0, 1.0)):
        if all(least <= float(part.min()) and float(part.max()) <= most for part in (Z, far)):
            return [_bounded(f"between {least:g} and {most:g}")]
    top = far.abs().amax()
    if len(far) and float((far.abs() >= 0.999 * top).double().mean()) >= 0.5 and float(top) < 1e4:
        return [_bounded(f"bounded at {float(top):.4g}")]
    return []


def _bounded(how: str) -> Note:
    rest = "as no logits are: margins, distances and gradients are those of bounded numbers"
    return Note("bounded", f"the network's outputs are {how}, {rest}")


def _far(network: Wrapped, tried: Tensor) -> Tensor:
    """Finite logits for images of noise that reaches far beyond [0, 1]; those of noise inside where that is refused."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(tried[:16].shape, generator=generator, dtype=tried.dtype).to(tried.device)
    try:
        Z = _try(network, 1e4 * noise)
    except NetworkError:
        Z = _try(network, noise.clamp(0, 1))
    return Z[Z.isfinite().all(1)] if Z.isfinite().all(1).any() else Z.new_zeros(1, Z.shape[1])


def _headless(Z: Tensor) -> list[Note]:
    rows = Z[Z.isfinite().all(1)]
    if bool((rows == rows[:, :1]).all()):
        return [Note("headless", "the network gives every class the same logit: its last layer seems to hold zeros")]
    if len(rows) > 1 and bool((rows == rows[:1]).all()):
        return [Note("headless", f"the network gives all {len(rows)} images the same logits: it does not look at them")]
    return []


def _accuracy(network: Wrapped, Z: Tensor, x: Tensor, y: Tensor, classes: int) -> list[Note]:
    """Is it better than guessing, and would other units suit it better?"""
    flags, shares = right(Z, y), torch.bincount(y).double() / len(y)
    clean = wilson(int(flags.sum()), len(flags))
    commonest = float(shares.max()) if len(y) >= 50 and int((shares > 0).sum()) > 1 else 0.0
    guess, notes = 100 * max(1 / max(classes, 2), commonest), []
    if clean["low"] <= guess:
        ends = f"[{clean['low']:.1f}, {clean['high']:.1f}]"
        notes.append(Note("chance", f"the network is right for {clean['mean']:.1f} % {ends} of the unchanged images, and "
                          f"guessing is right for {guess:.1f} %: it does not classify these images"))  # fmt: skip
    if clean["mean"] >= 80 or len(x) < 20:
        return notes
    others = _in_other_units(network, x[:500], y[:500])
    name = max(others, key=lambda each: others[each]["mean"], default="")
    if name and others[name]["low"] > clean["high"]:
        mean, std = (" ".join(f"{value:.4g}" for value in values) for values in RANGES[name])
        notes.append(Note("range", f"with {name} the network is right for {others[name]['mean']:.1f} % of the images "
                          f"instead of {clean['mean']:.1f} %: it seems to expect them, which --mean {mean} --std {std} "
                          "gives it"))  # fmt: skip
    return notes


def _in_other_units(network: Wrapped, x: Tensor, y: Tensor) -> dict[str, dict]:
    found = {}
    for name, values in RANGES.items():
        mean, std = (torch.tensor(value).view(-1, 1, 1).to(x) for value in values)
        if len(mean) in (1, x.shape[1]):
            parts = zip(((x - mean) / std).split(250), y.split(250), strict=True)
            try:
                flags = torch.cat([right(_try(network, a), b) for a, b in parts])
            except NetworkError:
                continue
            found[name] = wilson(int(flags.sum()), len(flags))
    return found


def _pixels(x: Tensor) -> list[Note]:
    top = float(x.max())
    if top < 2 / 255:
        text = "images of 0 to 255 seem to have been divided by 255 twice" if top > 0 else "every image is black"
        return [Note("scale", f"the largest value in all images is {top:.4g}: {text}")]
    return []


def _broken(Z: Tensor, J: Tensor, index: Tensor | None) -> list[Note]:
    """The images of which something says nothing, counted and named."""
    finite, slope, n = Z.isfinite().all(1), J.flatten(1), len(Z)
    places = torch.arange(n) if index is None else index.cpu()
    followed = finite & slope.isfinite().all(1)
    kinds = {
        "not finite": (~finite, "logits are not finite for {}: never counted as right"),
        "gradient not finite": (finite & ~followed, "the margin's gradient is not finite for {}: left out of the indicator"),
        "zero gradient": (followed & ~slope.any(1), "the margin's gradient is zero for {}: it says nothing of them, they "
                          "are left out of the indicator, and attacks that follow gradients are blind there"),
    }  # fmt: skip
    notes = []
    for kind, (flags, sentence) in kinds.items():
        images = places[flags.cpu()].tolist()
        if images:
            notes.append(Note(kind, sentence.format(_counted(images, n)), images))
    return notes


def _counted(images: list[int], n: int) -> str:
    shown = ", ".join(map(str, images[:8])) + (", ..." if len(images) > 8 else "")
    if n == 1:
        return "this image"
    return f"all {n} images" if len(images) == n else f"{len(images)} of {n} images ({shown})"


def _state(network: Wrapped, buffers: dict[str, Tensor]) -> list[Note]:
    """What cannot be promised of the network's own state."""
    if not modules_of(network.network):
        return [Note("unseen", "the network is a function in which no module can be seen: whatever state it has could not "
                     "be looked after")]  # fmt: skip
    changed = [name for name, buffer in network.named_buffers() if not torch.equal(buffer, buffers[name])]
    if changed:
        return [Note("state", f"the network changes its own {changed[0]} at every call, in eval mode too: it is not left as "
                     "it was found")]  # fmt: skip
    return []
