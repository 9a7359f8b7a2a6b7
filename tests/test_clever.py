"""CLEVER against networks whose largest slope is known, and a fit whose end is."""

import numpy as np
import pytest
import torch
from scipy.stats import weibull_max
from toys import Quadratic, images, labels_of, linear, relu_network, seeded

from paperlib.clever import clever, largest_slope
from paperlib.objective import margins


def test_of_a_linear_network_it_is_the_distance_to_the_nearest_boundary_itself():
    W = torch.randn(5, 16, generator=seeded(3), dtype=torch.float64)
    model, x = linear(W), images(6)
    y, Z = labels_of(model, x), model(x).detach()
    gaps = Z[torch.arange(6), y][:, None] - Z
    slopes = (W[y][:, None] - W[None]).abs().sum(2)
    expected = torch.where(slopes > 0, gaps / slopes, torch.inf).amin(1)
    found = clever(model, x, y, radius=10.0, targets=4, batches=3, samples=2, generator=seeded())
    assert torch.allclose(found, expected, rtol=1e-12)
    # fewer targets can miss the nearest class, and more than there are is all of them
    assert (clever(model, x, y, radius=10.0, targets=1, batches=3, samples=2, generator=seeded()) >= found).all()
    assert torch.equal(clever(model, x, y, radius=10.0, targets=99, batches=3, samples=2, generator=seeded()), found)


def test_of_a_curved_network_it_lies_between_the_slope_at_the_image_and_the_largest_in_the_ball():
    # the l1 norm of Q z + b over a box is largest at a corner: of a diagonal Q with b >= 0 at z = x + radius
    Q, b = torch.diag(torch.linspace(0.5, 2, 16, dtype=torch.float64)), torch.full((16,), 0.1, dtype=torch.float64)
    model, x = Quadratic(Q, b), images(3)
    y, S = labels_of(model, x), None
    S = margins(model, x, y)
    radius = 0.1
    at, corner = (x.flatten(1) @ Q + b).sum(1), ((x.flatten(1) + radius) @ Q + b).sum(1)
    found = clever(model, x, y, radius=10 * radius, batches=2, samples=1, generator=seeded())
    assert (found > 0).all()
    near = clever(model, x, y, radius=radius, batches=60, samples=40, generator=seeded())
    # capped at the radius where the boundary is farther than it
    assert torch.equal(near, torch.full_like(near, radius)) and (S / corner > radius).all()
    slopes = torch.rand(60, 40, generator=seeded(), dtype=torch.float64) * (corner[0] - at[0]) + at[0]
    assert at[0] < largest_slope(slopes) <= 1.01 * corner[0]


def test_a_misclassified_image_is_at_the_boundary_and_the_distance_is_never_beyond_the_ball():
    model, x = relu_network(), images(8)
    y = labels_of(model, x)
    y[0] = (y[0] + 1) % 4
    found = clever(model, x, y, radius=0.02, batches=4, samples=4, generator=seeded())
    assert found[0] == 0 and (found[1:] > 0).all() and float(found.max()) <= 0.02
    again = clever(model, x, y, radius=0.02, batches=4, samples=4, generator=seeded())
    assert torch.equal(found, again)


@pytest.mark.parametrize("end", [3.0, 40.0])
def test_the_end_of_a_reverse_weibull_distribution_is_found(end):
    drawn = weibull_max.rvs(2.5, loc=end, scale=1.0, size=(400, 1), random_state=np.random.default_rng(0))
    found = largest_slope(torch.from_numpy(drawn))
    # beyond what was seen, and near the end
    assert drawn.max() <= found and found == pytest.approx(end, abs=0.15)


def test_slopes_that_agree_have_their_largest():
    assert largest_slope(torch.full((9, 4), 2.5)) == 2.5
    assert largest_slope(torch.tensor([[1.0, 7.0], [2.0, 3.0]])) == 7.0


def test_logits_that_are_no_numbers_are_no_distance_and_slopes_that_are_none_are_refused():
    model, x = relu_network(), images(3)
    y = labels_of(model, x)
    found = clever(lambda z: model(z) * torch.nan, x, y, radius=0.3, batches=2, samples=2, generator=seeded())
    assert found.tolist() == [0, 0, 0]

    def steep(z: torch.Tensor) -> torch.Tensor:  # finite values, and a root's slope at 0
        return model(z) + (z.flatten(1) * 0).abs().sqrt().sum(1, keepdim=True)

    with pytest.raises(ValueError, match="model has a slope at image 0 that is no finite number"):
        clever(steep, x, y, radius=0.3, batches=2, samples=2, generator=seeded())
