"""A fragile, a median and a robust image of a report: what surrounds them, and what an attack changes on them."""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from paperlib import surface
from paperlib.attack import attack
from paperlib.evaluate import pgd_step
from paperlib.objective import decision
from paperlib.state import evaluating

ROLES = {"fragile": 0.05, "median": 0.5, "robust": 0.95}  # quantiles of the order that ``chosen`` makes
REACH = 4  # balls up to which the boundary is searched along the adversarial direction
STEPS, RESTARTS = 40, 3  # of the attack that is shown


def chosen(fallen: Int[Tensor, "n"], distance: Float[Tensor, "n"], among: Bool[Tensor, "n"]) -> dict[str, int]:
    """The image of each role: those of ``among`` in the order of the size at which the worst case broke them (``fallen``, an
    index into the sizes), and where these are equal of the distance to the boundary if S were linear.

    Fewer than three images give fewer roles, no image twice.
    """
    index = among.nonzero()[:, 0].tolist()
    order = sorted(index, key=lambda i: (int(fallen[i]), float(distance[i])))
    roles: dict[str, int] = {}
    for role, q in ROLES.items():
        at = order[round(q * (len(order) - 1))] if order else None
        if at is not None and at not in roles.values():
            roles[role] = at
    return roles


def examined(
    model: Callable, x: Float[Tensor, "1 c h w"], y: Int[Tensor, "1"], *, eps: float, steps: int, seed: int
) -> tuple[dict, dict[str, np.ndarray]]:
    """Numbers and pictures of one image.

    Numbers: its class and the network's, S, the distance along the adversarial signs, and what an attack of size ``eps``
    reaches, on the margin or where that fails on the cross-entropy. Pictures: the image, the image after that attack, and
    S on a plane of ``steps`` x ``steps`` points, two balls wide to either side, alpha along the signs of the gradient that
    lowers S, beta along random signs.
    """
    generator = torch.Generator().manual_seed(seed)
    u, v = surface.input_plane(model, x, y, direction="adversarial", generator=generator)
    axis = np.linspace(-2 * eps, 2 * eps, steps)
    values = surface.surfaces(model, x, y, u, v, objective=decision, alpha=axis, beta=axis, batch=64)[0]
    along = surface.boundary_distance(
        surface.decision_function(model, y), x, u, reach=min(REACH * eps, 1.0), coarse=4 * REACH, bisections=8
    )
    for objective in ("cw", "cross_entropy"):
        found = attack(
            model, x, y, eps=eps, steps=STEPS, step_size=pgd_step(eps, STEPS), objective=objective, random_start=True,
            restarts=RESTARTS, stop_at_success=True, generator=generator,
        )  # fmt: skip
        if bool(found.success.all()):
            break
    with torch.no_grad(), evaluating(model):
        Z = model(torch.cat([x, found.x]))
    delta = (found.x - x).flatten()
    numbers = {
        "class": int(y), "predicted": int(Z[0].argmax()), "S": float(decision(Z[:1], y)),
        "along": None if torch.isinf(along).any() else float(along), "reach": min(REACH * eps, 1.0),
        "attacked": int(Z[1].argmax()), "attacked_S": float(decision(Z[1:], y)), "linf": float(delta.abs().max()),
        "l2": float(delta.norm()), "changed": 100 * float((delta != 0).double().mean()),
    }  # fmt: skip
    pictures = {"image": x[0], "attacked": found.x[0]}
    return numbers, {name: tensor.float().cpu().numpy() for name, tensor in pictures.items()} | {"S": values, "axis": axis}
