"""Nothing that looks at a network leaves a trace on it, on the caller's tensors or on the global random state."""

import copy

import numpy as np
import pytest
import torch
from toys import batchnorm_network, images

from paperlib import attack, evaluate, indicator, objective, surface
from paperlib.state import evaluating, input_gradient

X, Y = images(5, dtype=torch.float32), torch.tensor([0, 1, 2, 3, 0])


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(1)


def plane(model, x, y):
    f = surface.input_function(model, 0, objective.decision)
    u, v = (surface.random_direction(x[0], generator=seeded()) for _ in range(2))
    surface.surface(f, x[0], u, v, alpha=np.array([0.0, 0.1]), beta=np.zeros(1), clip=(0, 1))


def parameter_plane(model, x, y):
    f = surface.parameter_function(model, x, y, objective.cross_entropy)
    origin = surface.parameters_of(model)
    u = surface.filter_normalised(model, generator=seeded())
    surface.surface(f, origin, u, u.flip(0), alpha=np.array([0.0, 1.0]), beta=np.ones(1))


LOOKS = {
    "attack": lambda m, x, y: attack.attack(m, x, y, eps=0.1, steps=3, step_size=0.05, adaptive=True),
    "restarts": lambda m, x, y: attack.pgd(m, x, y, eps=0.1, steps=2, step_size=0.05, restarts=3, generator=seeded()),
    "l2 until success": lambda m, x, y: attack.cw(m, x, y, eps=1, step_size=0.5, norm="l2", stop_at_success=True),
    "jacobian": lambda m, x, y: indicator.jacobian(m, x, y),
    "hessian": lambda m, x, y: indicator.hessian(m, x[0], 1),
    "cross-entropy hessian": lambda m, x, y: indicator.cross_entropy_hessian(m, x[0]),
    "margins": lambda m, x, y: objective.margins(m, x, y, batch=2),
    "report": lambda m, x, y: indicator.report(m, x, y, eps=0.1),
    "direction": lambda m, x, y: surface.adversarial_direction(m, x, y, objective="least_likely"),
    "surface": plane,
    "parameter surface": parameter_plane,
    "boundary": lambda m, x, y: surface.boundary_distance(
        surface.decision_function(m, y), x, torch.ones_like(x), reach=0.2, coarse=3
    ),
    "accuracy": lambda m, x, y: evaluate.correct(m, x, y),
    "robustness": lambda m, x, y: evaluate.robustness(
        m, x, y, eps=[0.1], step_size=0.05, steps=2, pgd_steps=2, generator=seeded()
    ),
    "masking": lambda m, x, y: evaluate.masking(m, x, y, eps=0.1, step_size=0.05, steps=2, generator=seeded()),
}


def trace(model) -> dict:
    """Everything about a network that somebody could notice."""
    return {
        "modes": [module.training for module in model.modules()],
        "asks": [weight.requires_grad for weight in model.parameters()],
        "grads": [None if weight.grad is None else weight.grad.tolist() for weight in model.parameters()],
        "values": {name: tensor.tolist() for name, tensor in model.state_dict().items()},
    }


@pytest.mark.parametrize("grad", [True, False], ids=["grad", "no_grad"])
@pytest.mark.parametrize("look", LOOKS)
def test_a_look_leaves_no_trace(look, grad):
    model = batchnorm_network()
    weights = list(model.parameters())
    weights[0].grad = torch.full_like(weights[0], 7.0)  # the others have none
    weights[1].requires_grad_(False)
    x, y = X.clone(), Y.clone()
    before, random_state = trace(model), torch.get_rng_state()
    with torch.set_grad_enabled(grad):
        LOOKS[look](model, x, y)
        assert torch.is_grad_enabled() == grad
    assert trace(model) == before
    assert torch.equal(x, X) and torch.equal(y, Y)
    assert x.grad is None and not x.requires_grad
    assert torch.equal(torch.get_rng_state(), random_state)


@pytest.mark.parametrize("look", ["attack", "restarts", "jacobian", "direction", "surface", "boundary", "robustness"])
def test_images_that_require_gradients_stay_out_of_every_graph(look):
    x = X.clone().requires_grad_(True)
    found = LOOKS[look](batchnorm_network(), x, Y)
    assert x.grad is None and x.requires_grad
    results = vars(found).values() if isinstance(found, attack.Adversarial) else [found]
    assert not any(result.requires_grad for result in results if isinstance(result, torch.Tensor))


def test_modes_come_back_after_an_error():
    model = copy.deepcopy(batchnorm_network())
    before = trace(model)
    with pytest.raises(RuntimeError, match="inside"), evaluating(model):
        assert not any(module.training for module in model.modules())
        raise RuntimeError("inside")
    assert trace(model) == before


def test_the_gradient_of_a_constant_is_zero():
    values, gradient = input_gradient(lambda x: torch.ones(len(x)), X)
    assert values.tolist() == [1.0] * 5
    assert torch.equal(gradient, torch.zeros_like(X))
