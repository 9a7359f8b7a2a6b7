"""The Square attack: inside the ball, no gradient, and stronger with more queries."""

import pytest
import torch
from toys import images, labels_of, relu_network

from paperlib.objective import decision
from paperlib.square import side, square


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def setting(n: int = 30):
    model, x = relu_network(), images(n)
    return model, x, labels_of(model, x)


@pytest.mark.parametrize("eps", [0.0, 0.05, 0.5])
def test_it_stays_in_the_ball_and_in_the_box(eps):
    model, x, y = setting()
    found = square(model, x, y, eps=eps, queries=20, generator=seeded())
    assert float((found.x - x).abs().max()) <= eps + 1e-12
    assert found.x.min() >= 0 and found.x.max() <= 1
    assert torch.equal(found.success, model(found.x).argmax(1) != y)


def test_every_pixel_is_at_an_end_of_its_range():
    model, x, y = setting()
    found = square(model, x, y, eps=0.05, queries=10, generator=seeded())
    assert torch.allclose((found.x - x).abs(), torch.full_like(x, 0.05))


def test_it_asks_for_no_gradient_and_never_climbs_down():
    model, x, y = setting()
    grads = []

    def watched(z):
        grads.append(torch.is_grad_enabled() or z.requires_grad)
        return model(z)

    margins = [decision(model(square(watched, x, y, eps=0.03, queries=q, generator=seeded()).x), y) for q in (1, 10)]
    assert not any(grads)
    assert margins[1].mean() < margins[0].mean()


def test_it_breaks_a_network_whose_gradient_is_zero():
    model, x, y = setting(60)
    y = labels_of(lambda z: model((z * 32).round() / 32), x)
    found = square(lambda z: model((z * 32).round() / 32), x, y, eps=0.15, queries=200, generator=seeded())
    assert found.success.double().mean() > 0.3


@pytest.mark.parametrize("batch", [1, 7, 100])
def test_the_batch_size_changes_nothing(batch):
    model, x, y = setting(12)
    one, other = (square(model, x, y, eps=0.05, queries=15, batch=b, generator=seeded()).x for b in (batch, 500))
    assert torch.equal(one, other)


def test_the_squares_shrink_and_stay_inside_any_image():
    sides = [side(query, 5000, (28, 28)) for query in range(5000)]
    assert sides == sorted(sides, reverse=True) and sides[0] == 25 and sides[-1] == 1
    assert max(side(query, 10, (4, 60)) for query in range(10)) == 4


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"eps": float("nan")}, "eps is nan; allowed is a number of at least 0"),
        ({"queries": 0}, "queries is 0; allowed is an integer of at least 1"),
        ({"batch": 0}, "batch is 0; allowed is an integer of at least 1"),
    ],
)
def test_wrong_input_meets_one_sentence(changes, sentence):
    model, x, y = setting(2)
    with pytest.raises(ValueError, match="allowed") as caught:
        square(model, x, y, **{"eps": 0.1} | changes)
    assert str(caught.value) == sentence
