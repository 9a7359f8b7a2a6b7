"""The attack loop beside two other libraries (``pip install .[benchmark]``): same network, same images, same settings."""

import pytest
import torch
from toys import stripes, toy_dataset, toy_recipe

from paperlib.attack import attack, bim, fgsm, pgd
from paperlib.train import fit

WHY = "an oracle for the attacks, not a dependency: pip install '.[benchmark]'"
EPS = [0.02, 0.05, 0.1, 0.2]


@pytest.fixture(scope="module")
def network():
    return fit(toy_recipe(epochs=6, lr=0.03), toy_dataset(), progress=False)[0]


@pytest.fixture(scope="module")
def images(network):
    split = stripes(200, seed=9)
    return split.x, split.y


def torchattack(name: str, network, x, y, **options) -> torch.Tensor:
    peer = getattr(pytest.importorskip("torchattacks", reason=WHY), name)
    return peer(network, **options)(x, y)


def foolbox(name: str, network, x, y, eps: float, **options) -> torch.Tensor:
    fb = pytest.importorskip("foolbox", reason=WHY)
    model = fb.PyTorchModel(network, bounds=(0, 1), device="cpu")
    return getattr(fb.attacks, name)(**options)(model, x, y, epsilons=eps)[1]


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


def theirs(library: str, name: str, network, x, y, eps: float) -> torch.Tensor:
    if library == "torchattacks":
        steps = {"alpha": eps / 4, "steps": 10}
        return {
            "fgsm": lambda: torchattack("FGSM", network, x, y, eps=eps),
            "bim": lambda: torchattack("PGD", network, x, y, eps=eps, random_start=False, **steps),
            "l2": lambda: torchattack(
                "PGDL2", network, x, y, eps=4 * eps, alpha=eps, steps=10, random_start=False, eps_for_division=1e-30
            ),
        }[name]()
    steps = {"abs_stepsize": eps / 4, "steps": 10}
    return {
        "fgsm": lambda: foolbox("LinfFastGradientAttack", network, x, y, eps),
        "bim": lambda: foolbox("LinfBasicIterativeAttack", network, x, y, eps, **steps),
        "l2": lambda: foolbox("L2BasicIterativeAttack", network, x, y, 4 * eps, abs_stepsize=eps, steps=10),
    }[name]()


@pytest.mark.parametrize("library", ["torchattacks", "foolbox"])
@pytest.mark.parametrize("name", ["fgsm", "bim", "l2"])
def test_deterministic_attacks_agree(library, name, network, images):
    x, y = images
    accuracies = []
    for eps in EPS:
        mine, other = ours(name, network, x, y, eps), theirs(library, name, network, x, y, eps)
        # a gradient that is zero but for rounding has another sign in another batch: a few pixels may differ
        assert float(((mine - other).abs() < 1e-4).double().mean()) > 0.98
        accuracies.append((accuracy(network, mine, y), accuracy(network, other, y)))
    assert all(abs(a - b) <= 1 for a, b in accuracies)
    assert accuracies[0][0] > 90 and accuracies[-1][0] < 60  # the settings tell strong from weak


@pytest.mark.parametrize("library", ["torchattacks", "foolbox"])
def test_random_starts_are_as_strong(library, network, images):
    x, y = images
    for eps in EPS:
        mine = pgd(network, x, y, eps=eps, step_size=eps / 4, steps=20, generator=torch.Generator().manual_seed(0)).x
        torch.manual_seed(0)
        if library == "torchattacks":
            other = torchattack("PGD", network, x, y, eps=eps, alpha=eps / 4, steps=20, random_start=True)
        else:
            steps = {"abs_stepsize": eps / 4, "steps": 20}
            other = foolbox("LinfProjectedGradientDescentAttack", network, x, y, eps, **steps)
        assert abs(accuracy(network, mine, y) - accuracy(network, other, y)) <= 3
