"""The rows of a table on several architectures with several seeds each: which comes nearest the paper's, and what holds on
all of them."""

from collections.abc import Iterable
from itertools import combinations
from pathlib import Path

import numpy as np
from jaxtyping import Float

from paperlib.intervals import RESAMPLES, SEED, Interval
from paperlib.measures import tables
from paperlib.measures.tables import Flags
from paperlib.measures.variants import ranges
from paperlib.record import Measured
from paperlib.train import Trained

# a family's name and a seed, without the method
Drawn = dict[str, dict[str, Flags]]
# a cell of the paper's table: method, attack, eps; eps is 0 for clean images
Cell = tuple[str, str, float]
# points by which two of the paper's numbers must differ to be in an order
APART = 1.0


def measure(
    networks: dict[str, Trained], *, images: int, strong: int, level: str, eps: list[float], step_size: float, steps: int,
    pgd_steps: int, restarts: int, seed: int, device: str, store: Path, stated: dict,
) -> Measured:  # fmt: skip
    """Every network under every attack on the same images; ``stated`` is the paper's table.

    A network's role is its method, its architecture and its seed, such as ``natural-strided-0``.
    """
    data = next(iter(networks.values())).dataset
    x, y = tables.inputs(data, images, device)
    judged = tables.judged(
        networks, x, y, eps=eps, step_size=step_size, strong=strong, level=level, steps=steps, pgd_steps=pgd_steps,
        restarts=restarts, seed=seed, device=device, store=store,
    )  # fmt: skip
    rows, flags = {role: each.row for role, each in judged.items()}, {role: each.flags for role, each in judged.items()}
    return Measured(
        {"rows": rows} | compared(rows, flags, stated), tables.arrays(flags), ((data, images),), {"attack": seed}
    )


def compared(rows: dict[str, dict], flags: dict[str, Flags], stated: dict) -> dict:
    """What the rows say together.

    ``spread``: architecture -> method -> attack -> eps, the mean over seeds with the lowest and the highest as its ends.
    ``distance`` and ``natural``: the mean distance in points from the paper's cells, over all methods or the natural
    network's alone, and ``nearest`` the smallest of each. ``closer``: the first architecture's distance in the natural
    network's cells less each other one's. ``orderings``: the share (percent) of pairs of methods in a cell, ``APART`` in
    the paper's table, that are in the same order here, and of those that are on ``all`` architectures. ``swing``: the
    natural network's lowest and highest mean under BIM at the smallest eps, and their difference. Intervals are over
    images and seeds together.
    """
    families = list(dict.fromkeys(parts(role)[1] for role in rows))
    spread = {family: {method: ranges([rows[role] for role in roles]) for method, roles in of_family(rows, family).items()}
              for family in families}  # fmt: skip
    cells = cells_of(stated, flags)
    drawn = {family: resampled(flags, family, cells) for family in families}
    far = {family: away(each, cells) for family, each in drawn.items()}
    near = {family: away(each, natural_alone(cells)) for family, each in drawn.items()}
    first = families[0]
    return {
        "spread": spread,
        "distance": {family: of_draws(each) for family, each in far.items()},
        "natural": {family: of_draws(each) for family, each in near.items()},
        "nearest": {"distance": nearest(far), "natural": nearest(near)},
        "closer": {family: of_draws(near[first] - each) for family, each in near.items() if family != first},
        "orderings": orderings(drawn, cells),
        "swing": swing(drawn, cells),
    }


def parts(role: str) -> list[str]:
    """A role's method, architecture and seed."""
    return role.split("-", 2)


def of_family(roles: Iterable[str], family: str) -> dict[str, list[str]]:
    """The roles of an architecture, by method."""
    found: dict[str, list[str]] = {}
    for role in roles:
        method, own, _ = parts(role)
        if own == family:
            found.setdefault(method, []).append(role)
    return found


def cells_of(stated: dict, flags: dict[str, Flags]) -> dict[Cell, float]:
    """The paper's number in each cell that was measured as well: clean images, and each of its attacks at an equal size."""
    methods = {parts(role)[0] for role in flags}
    measured = next(iter(flags.values()))
    found = {}
    for method, row in stated.items():
        for attack, numbers in row.items() if method in methods else ():
            sizes = numbers if isinstance(numbers, dict) else {"0": numbers}
            found |= {(method, attack, float(size)): number for size, number in sizes.items()
                      if (attack, float(size)) in measured}  # fmt: skip
    return found


def natural_alone(cells: dict[Cell, float]) -> dict[Cell, float]:
    """The cells of the natural network's row."""
    return {cell: number for cell, number in cells.items() if cell[0] == "natural"}


def resampled(flags: dict[str, Flags], family: str, cells: Iterable[Cell]) -> dict[Cell, Float[np.ndarray, "draws"]]:
    """Accuracy in percent of each cell, over seeds: as it is, then over ``RESAMPLES`` draws of images and of seeds.

    All cells and architectures have the same images in a draw.
    """
    rng, found = np.random.default_rng(SEED), {}
    n = len(next(iter(flags.values()))["clean", 0.0])
    weights = np.concatenate([np.full((1, n), 1 / n), rng.multinomial(n, np.full(n, 1 / n), size=RESAMPLES) / n])
    roles = of_family(flags, family)
    for method, of in roles.items():
        seeds = rng.integers(len(of), size=(RESAMPLES + 1, len(of)))
        seeds[0] = np.arange(len(of))
        for cell in cells:
            if cell[0] == method:
                right = np.stack([flags[role][cell[1:]].cpu().numpy() for role in of]).astype(float)
                found[cell] = 100 * np.take_along_axis(weights @ right.T, seeds, axis=1).mean(1)
    return found


def away(drawn: dict[Cell, Float[np.ndarray, "draws"]], cells: dict[Cell, float]) -> Float[np.ndarray, "draws"]:
    """The mean distance from the paper's numbers, in points."""
    return np.mean([np.abs(drawn[cell] - number) for cell, number in cells.items() if cell in drawn], axis=0)


def nearest(drawn: dict[str, Float[np.ndarray, "draws"]]) -> Interval:
    """The distance of the architecture that is nearest."""
    return of_draws(min(drawn.values(), key=lambda each: each[0]))


def of_draws(drawn: Float[np.ndarray, "draws"], unit: str = "points") -> Interval:
    """The first value, with its interval from those behind it."""
    low, high = np.quantile(drawn[1:], [0.025, 0.975])
    return {"mean": float(drawn[0]), "low": float(low), "high": float(high), "n": len(drawn) - 1, "unit": unit}


def orderings(drawn: dict[str, dict[Cell, Float[np.ndarray, "draws"]]], cells: dict[Cell, float]) -> dict:
    """The share of the paper's orders of two methods in a cell that are found, by architecture and on ``all``."""
    pairs = [
        (one, other) if cells[one] > cells[other] else (other, one)
        for one, other in combinations(cells, 2) if one[1:] == other[1:] and abs(cells[one] - cells[other]) > APART
    ]  # fmt: skip
    holds = {family: np.stack([of[better] > of[worse] for better, worse in pairs]) for family, of in drawn.items()}
    holds["all"] = np.logical_and.reduce(list(holds.values()))
    return {family: of_draws(100.0 * each.mean(0), "%") | {"of": len(pairs)} for family, each in holds.items()}


def swing(drawn: dict[str, dict[Cell, Float[np.ndarray, "draws"]]], cells: Iterable[Cell]) -> dict:
    """How far apart the architectures' natural networks are under BIM at the smallest eps."""
    smallest = min((cell for cell in cells if cell[:2] == ("natural", "bim")), key=lambda cell: cell[2])
    ordered = sorted(drawn, key=lambda family: drawn[family][smallest][0])
    low, high = (drawn[family][smallest] for family in (ordered[0], ordered[-1]))
    return {"lowest": of_draws(low, "%"), "highest": of_draws(high, "%"), "apart": of_draws(high - low)}
