"""A penalty on networks with and without kinks: strengths chosen alike for each, then the strongest attacks."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import nn

from paperlib.cascade import LEVELS, worst_case
from paperlib.data import Dataset
from paperlib.evaluate import correct
from paperlib.intervals import Interval, accuracy, interval, paired_flags, ratio
from paperlib.measures import tables
from paperlib.measures.robustness import maskings
from paperlib.measures.tables import Flags, by_eps
from paperlib.record import Measured
from paperlib.refusal import reject
from paperlib.train import Trained, epoch_seconds

NATURAL, KINKED = "natural", "relu"


@dataclass(frozen=True)
class Candidate:
    """A network on images held out of training: ``clean`` and ``worst`` accuracy, whether clean is ``allowed``."""

    role: str
    clean: Interval
    worst: Interval
    allowed: bool = True


def measure(
    networks: dict[str, Trained], *, images: int, strong: int, level: str, held_out: int, slack: float, eps: list[float],
    step_size: float, steps: int, pgd_steps: int, restarts: int, masking_images: int, masking_steps: int, rounds: int,
    batches: int, seed: int, device: str, store: Path,
) -> Measured:  # fmt: skip
    """A network's role is its method, its activation and its strength, such as ``ours-silu-0.01``; ``natural-relu-0`` says
    how clean the others must be, to ``slack`` points, on ``held_out`` images of the training set's end.

    ``candidates``: method -> activation -> strength, on held-out images at the middle eps; ``chosen``: the strength of each.
    ``rows``, ``masking``, ``epoch`` (seconds over the ReLU network's): method -> activation, of the chosen, on test images.
    ``gain``: a smooth network's worst case less the ReLU network's, in points by eps, and ``best``: that of the activation
    whose choice was best on held-out images.
    """
    data, models = next(iter(networks.values())).dataset, tables.ready(networks)
    middle = eps[len(eps) // 2]
    found = {role: on_held_out(role, model, networks[role], data, held_out, middle, store, device)
             for role, model in models.items()}  # fmt: skip
    floor = min(each.clean["mean"] for role, each in found.items() if parts(role)[0] == NATURAL and KINKED in role) - slack
    chosen = choose(found, floor)
    x, y = tables.inputs(data, images, device)
    judged = tables.judged(
        {role: networks[role] for role in chosen}, x, y, eps=eps, step_size=step_size, strong=strong, level=level,
        steps=steps, pgd_steps=pgd_steps, restarts=restarts, seed=seed, device=device, store=store,
    )  # fmt: skip
    few = slice(masking_images)
    signs = maskings({role: models[role] for role in chosen}, x[few], y[few], data, eps=middle, step_size=step_size,
                     steps=masking_steps, seed=seed)  # fmt: skip
    flags = {role: each.flags for role, each in judged.items()}
    values = {
        "candidates": nested({role: {"clean": each.clean, "worst": each.worst} for role, each in found.items()}, 3),
        "chosen": nested({role: parts(role)[2] for role in chosen}),
        "rows": nested({role: each.row for role, each in judged.items()}),
        "masking": nested(signs),
        "gain": gains(flags),
        "best": best(
            {role: found[role] for role in chosen}, flags, signs, {role: each.row for role, each in judged.items()}
        ),
        "epoch": epochs({role: networks[role] for role in chosen}, data, rounds, batches, device),
    }
    return Measured(values, tables.arrays(flags), ((data, images),), {"attack": seed})


def parts(role: str) -> list[str]:
    """A role's method, activation and strength. Raises ValueError for a role without them."""
    found = role.split("-", 2)
    reject(len(found) < 3, f"role is {role!r}; allowed is METHOD-ACTIVATION-STRENGTH")
    return found


def nested(of: dict, depth: int = 2) -> dict:
    """By method and activation, and by strength where ``depth`` is 3."""
    found: dict = {}
    for role, leaf in of.items():
        *way, last = parts(role)[:depth]
        node = found
        for key in way:
            node = node.setdefault(key, {})
        node[last] = leaf
    return found


def on_held_out(
    role: str, model: nn.Module, trained: Trained, data: Dataset, n: int, eps: float, store: Path, device: str
) -> Candidate:
    """A network's clean accuracy and its worst case, in few steps, on images held out of training."""
    held_out = data.validation.first(min(n, len(data.validation)))
    x, y = held_out.x.to(device), held_out.y.to(device)
    left = worst_case(
        model, x, y, eps=[data.to_input(eps)], cascade=LEVELS["quick"], batch=tables.batch(device), store=store / "parts",
        of=tables.made_of(trained)[1],
    ).unbroken[0]  # fmt: skip
    return Candidate(role, accuracy(correct(model, x, y)), accuracy(left))


def choose(found: dict[str, Candidate], floor: float) -> list[str]:
    """The roles that are looked at closely: of each method and activation the candidate with the best worst case among those
    at least as clean as ``floor`` (percent), the cleanest where none is; earlier ones first where two are equal."""
    groups: dict[tuple, list[Candidate]] = {}
    for role, each in found.items():
        groups.setdefault(tuple(parts(role)[:2]), []).append(each)
    return [_chosen(group, floor).role for group in groups.values()]


def _chosen(group: list[Candidate], floor: float) -> Candidate:
    allowed = [each for each in group if each.clean["mean"] >= floor]
    return max(allowed, key=lambda each: each.worst["mean"]) if allowed else max(group, key=lambda each: each.clean["mean"])


def gains(flags: dict[str, Flags]) -> dict:
    """Each smooth network's accuracy minus that of the ReLU network of its method, in points on the same images."""
    of = {tuple(parts(role)[:2]): each for role, each in flags.items()}
    found: dict = {}
    for (method, activation), each in of.items():
        if activation != KINKED and (method, KINKED) in of:
            kinked = of[method, KINKED]
            found.setdefault(method, {})[activation] = by_eps(
                {key: paired_flags(flag, kinked[key]) for key, flag in each.items()}
            )
    return found


def best(found: dict[str, Candidate], flags: dict[str, Flags], signs: dict, rows: dict) -> dict:
    """Of each penalised method the smooth network that was best on held-out images: its name, row, signs and gain."""
    gained, answers = gains(flags), {}
    for method in gained:
        if method != NATURAL:
            smooth = [role for role in found if parts(role)[0] == method and parts(role)[1] != KINKED]
            role = max(smooth, key=lambda each: found[each].worst["mean"])
            activation = parts(role)[1]
            answers[method] = {
                "activation": activation, "row": rows[role], "masking": signs[role], "gain": gained[method][activation],
            }  # fmt: skip
    return answers


def epochs(networks: dict[str, Trained], data: Dataset, rounds: int, batches: int, device: str) -> dict:
    """Seconds of an epoch over those of the ReLU network of the same method, timed in turns: method -> activation."""
    seconds = epoch_seconds(
        {role: each.recipe for role, each in networks.items()}, data, rounds=rounds, batches=batches, device=device
    )
    taken = {role: np.array(of) for role, of in seconds.items()}
    kinked = {parts(role)[0]: of for role, of in taken.items() if parts(role)[1] == KINKED}
    return nested({
        role: ratio(of, kinked[parts(role)[0]], how="median") if parts(role)[1] != KINKED else interval([1.0], "×")
        for role, of in taken.items() if parts(role)[0] in kinked
    })  # fmt: skip
