"""The attack loop beside two other libraries: same network, same images, same settings."""

import pytest
import torch
from toys import stripes, toy_dataset, toy_recipe

from paperlib.attack import attack, bim, fgsm, pgd
from paperlib.train import fit

EPS = [0.02, 0.05, 0.1, 0.2]


@pytest.fixture(scope="module")
def network():
    return fit(toy_recipe(epochs=6, lr=0.03), toy_dataset(), progress=False)[0]


@pytest.fixture(scope="module")
def images(network):
    split = stripes(200, seed=9)
    return split.x, split.y


def torchattack(library, name: str, network, x, y, **options) -> torch.Tensor:
    return getattr(library, name)(network, **options)(x, y)


def foolbox(library, name: str, network, x, y, eps: float, **options) -> torch.Tensor:
    model = library.PyTorchModel(network, bounds=(0, 1), device="cpu")
    return getattr(library.attacks, name)(**options)(model, x, y, epsilons=eps)[1]


def accuracy(network, x, y) -> float:
    with torch.no_grad():
        return 100 * (network(x).argmax(1) == y).double().mean().item()


def ours(name: str, network, x, y, eps: float) -> torch.Tensor:
    options = {"eps": eps, "step_size": eps / 4, "steps": 10}
    return {
        "fgsm": lambda: fgsm(network, x, y, eps=eps).x,
        "bim": lambda: bim(network, x, y, **options).x,
        "l2": lambda: attack(network, x, y, norm="l2", **options | {"eps": 4 * eps, "step_size": eps}).x,
    }[name]()


def theirs(library, name: str, network, x, y, eps: float) -> torch.Tensor:
    if library.__name__ == "torchattacks":
        steps = {"alpha": eps / 4, "steps": 10}
        return {
            "fgsm": lambda: torchattack(library, "FGSM", network, x, y, eps=eps),
            "bim": lambda: torchattack(library, "PGD", network, x, y, eps=eps, random_start=False, **steps),
            "l2": lambda: torchattack(
                library, "PGDL2", network, x, y, eps=4 * eps, alpha=eps, steps=10, random_start=False, eps_for_division=1e-30
            ),
        }[name]()
    steps = {"abs_stepsize": eps / 4, "steps": 10}
    return {
        "fgsm": lambda: foolbox(library, "LinfFastGradientAttack", network, x, y, eps),
        "bim": lambda: foolbox(library, "LinfBasicIterativeAttack", network, x, y, eps, **steps),
        "l2": lambda: foolbox(library, "L2BasicIterativeAttack", network, x, y, 4 * eps, abs_stepsize=eps, steps=10),
    }[name]()


@pytest.mark.parametrize("library", ["torchattacks", "foolbox"])
@pytest.mark.parametrize("name", ["fgsm", "bim", "l2"])
def test_deterministic_attacks_agree(library, name, peer, network, images):
    x, y = images
    library = peer(library)
    accuracies = []
    for eps in EPS:
        mine, other = ours(name, network, x, y, eps), theirs(library, name, network, x, y, eps)
        # a gradient that is zero but for rounding has another sign in another batch: a few pixels may differ
        assert float(((mine - other).abs() < 1e-4).double().mean()) > 0.98
        accuracies.append((accuracy(network, mine, y), accuracy(network, other, y)))
    assert all(abs(a - b) <= 1 for a, b in accuracies)
    assert accuracies[0][0] > 90 and accuracies[-1][0] < 60  # the settings tell strong from weak


@pytest.mark.parametrize("library", ["torchattacks", "foolbox"])
def test_random_starts_are_as_strong(library, peer, network, images):
    x, y = images
    library = peer(library)
    for eps in EPS:
        mine = pgd(network, x, y, eps=eps, step_size=eps / 4, steps=20, generator=torch.Generator().manual_seed(0)).x
        torch.manual_seed(0)
        if library.__name__ == "torchattacks":
            other = torchattack(library, "PGD", network, x, y, eps=eps, alpha=eps / 4, steps=20, random_start=True)
        else:
            steps = {"abs_stepsize": eps / 4, "steps": 20}
            other = foolbox(library, "LinfProjectedGradientDescentAttack", network, x, y, eps, **steps)
        assert abs(accuracy(network, mine, y) - accuracy(network, other, y)) <= 3
