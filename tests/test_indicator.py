"""Slopes and curvatures against closed forms: a linear network, a quadratic one, and what ReLUs leave of a Hessian."""

import math
from itertools import product

import numpy as np
import pytest
import torch
from toys import Quadratic, batchnorm_network, images, labels_of, linear, relu_network

from paperlib import indicator
from paperlib.model import softened
from paperlib.objective import cross_entropy


def symmetric(d: int = 4, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    A = torch.randn(d, d, generator=generator, dtype=torch.float64)
    return A + A.T


def quadratic(seed: int = 0) -> tuple[Quadratic, torch.Tensor, torch.Tensor]:
    Q = symmetric(4, seed)
    b = torch.randn(4, generator=torch.Generator().manual_seed(seed + 1), dtype=torch.float64)
    return Quadratic(Q, b), Q, b


# Jacobian.


def test_jacobian_of_a_linear_network_is_the_difference_of_two_rows():
    W = torch.tensor([[1.0, 2.0, 0.0, -1.0], [0.0, 1.0, 1.0, 3.0], [-5.0, 0.0, 0.0, 0.0]], dtype=torch.float64)
    model, x = linear(W), images(3, (1, 2, 2))
    # label 0: the runner-up is row 1; label 1: row 0; label 2: row 1 everywhere in these images
    runner_up = model(x)[:, :2].argmax(1)
    y = torch.tensor([0, 1, 2])
    expected = torch.stack([W[0] - W[1], W[1] - W[0], W[2] - W[runner_up[2]]])
    assert torch.equal(indicator.jacobian(model, x, y).flatten(1), expected)


def test_jacobian_of_a_quadratic():
    model, Q, b = quadratic()
    x = images(5, (1, 2, 2))
    J = indicator.jacobian(model, x, torch.zeros(5, dtype=torch.long))
    assert torch.allclose(J.flatten(1), x.flatten(1) @ Q + b, rtol=0, atol=1e-12)


def test_jacobian_of_any_objective_and_its_batch_size(monkeypatch):
    monkeypatch.setattr(indicator, "BATCH", 3)
    model, x = relu_network(), images(7)
    y = torch.tensor([0, 1, 2, 3, 0, 1, 2])
    p = model(x).softmax(1).detach()
    A = torch.stack([torch.autograd.functional.jacobian(lambda z: model(z[None])[0], image).flatten(1) for image in x])
    expected = (p[:, :, None] * A).sum(1) - A[torch.arange(7), y]
    J = indicator.jacobian(model, x, y, objective=cross_entropy)
    assert torch.allclose(J.flatten(1), expected, rtol=0, atol=1e-10)


def test_jacobian_works_where_gradients_are_switched_off():
    model, x = relu_network(), images(2)
    y = labels_of(model, x)
    with torch.no_grad():
        assert torch.equal(indicator.jacobian(model, x, y), indicator.jacobian(model, x, y))
        assert indicator.jacobian(model, x, y).abs().sum() > 0


def test_one_images_jacobian_does_not_depend_on_its_neighbours():
    model = batchnorm_network()
    x = images(6, dtype=torch.float32)
    y = torch.tensor([0, 1, 2, 3, 0, 1])
    together = indicator.jacobian(model, x, y)
    alone = torch.cat([indicator.jacobian(model, x[i : i + 1], y[i : i + 1]) for i in range(6)])
    assert torch.allclose(together, alone, rtol=0, atol=1e-6)


# Hessian.


def test_hessian_and_spectrum_of_a_quadratic_are_exact():
    model, Q, _ = quadratic()
    H = indicator.hessian(model, images(1, (1, 2, 2))[0], 0)
    assert torch.allclose(H, Q, rtol=0, atol=1e-12)
    assert np.allclose(indicator.spectrum(H).numpy(), np.linalg.eigvalsh(Q.numpy()), atol=1e-10)


def test_hessian_changes_sign_with_the_label():
    model, Q, _ = quadratic()
    assert torch.allclose(indicator.hessian(model, images(1, (1, 2, 2))[0], 1), -Q, rtol=0, atol=1e-12)


@pytest.mark.parametrize("rows", [1, 3, 5, 16, 64])
def test_hessian_does_not_depend_on_how_many_rows_are_made_at_once(rows, monkeypatch):
    smooth, x = softened(relu_network(), 3.0), images(1)[0]
    expected = indicator.hessian(smooth, x, 1)
    monkeypatch.setattr(indicator, "ROWS", rows)
    assert torch.allclose(indicator.hessian_by_rows(smooth, x, 1), expected, atol=1e-12)


def test_hessian_is_automatic_differentiations_and_symmetric():
    smooth, x = softened(relu_network(), 3.0), images(1)[0]
    S = lambda z: smooth(z[None])[0, 1] - smooth(z[None])[0, [0, 2, 3]].max()  # noqa: E731
    expected = torch.autograd.functional.hessian(S, x).reshape(16, 16)
    H = indicator.hessian(smooth, x, 1)
    assert torch.allclose(H, expected, rtol=0, atol=1e-10)
    assert torch.equal(H, H.T)


def test_hessian_of_an_affine_network_is_zero_and_no_error():
    model = linear(torch.eye(4, dtype=torch.float64))
    assert torch.equal(indicator.hessian(model, images(1, (1, 2, 2))[0], 2), torch.zeros(4, 4, dtype=torch.float64))


def test_hessian_of_a_relu_network_is_zero_until_it_is_softened():
    model, x = relu_network(), images(1)[0]
    assert torch.equal(indicator.hessian(model, x, 0), torch.zeros(16, 16, dtype=torch.float64))
    assert indicator.hessian(softened(model, 2.0), x, 0).abs().max() > 1e-3


def test_hessian_does_not_depend_on_batchnorms_mode():
    model = softened(batchnorm_network(), 2.0)
    x = images(1, dtype=torch.float32)[0]
    in_train_mode = indicator.hessian(model, x, 0)
    assert torch.allclose(in_train_mode, indicator.hessian(model.eval(), x, 0), rtol=0, atol=1e-6)
    assert in_train_mode.abs().max() > 0


def test_cross_entropy_hessian_of_a_relu_network():
    model, x = relu_network(), images(1)[0]
    H = indicator.cross_entropy_hessian(model, x)
    for label in range(4):
        loss = lambda z, label=label: cross_entropy(model(z[None]), torch.tensor([label]))[0]  # noqa: E731
        expected = torch.autograd.functional.hessian(loss, x).reshape(16, 16)
        assert torch.allclose(H, expected, rtol=0, atol=1e-10)
    eigenvalues = indicator.spectrum(H)
    assert eigenvalues[0] > -1e-10  # positive semi-definite
    assert int((eigenvalues > 1e-10 * eigenvalues[-1]).sum()) <= 3  # K - 1
    assert eigenvalues[-1] > 1e-6
    norms = indicator.cross_entropy_hessian_norm(model, x[None])
    assert norms.tolist() == pytest.approx([float(H.norm())])


def test_cross_entropy_hessian_of_a_constant_network_is_zero_and_no_error():
    x = images(2)
    # without a graph, and with one that the image is no part of
    for model in (lambda z: z.new_ones(len(z), 3), lambda z: torch.ones(len(z), 3, requires_grad=True) * 2):
        assert indicator.cross_entropy_hessian(model, x[0]).abs().max() == 0
        assert indicator.cross_entropy_hessian_norm(model, x).tolist() == [0.0, 0.0]


# Numbers made of J and H.


def test_norms_of_each_example():
    values = torch.tensor([[[3.0, -4.0]], [[0.0, 1.0]]])
    found = {name: norm.tolist() for name, norm in indicator.norms(values).items()}
    assert found == {"l1": [7.0, 1.0], "l2": [5.0, 1.0], "linf": [4.0, 1.0], "mean": [3.5, 0.5]}


def test_near_zero_ratio_counts_magnitudes_up_to_the_threshold():
    values = torch.tensor([[-0.5, 0.25, 2.0, 0.0], [1.0, 1.0, 1.0, -0.25]])
    assert indicator.near_zero_ratio(values, threshold=0.25).tolist() == [0.5, 0.25]


def vertices(eps: float, d: int = 4) -> torch.Tensor:
    return eps * torch.tensor(list(product((-1.0, 1.0), repeat=d)), dtype=torch.float64)


def test_bound_is_attained_by_a_vertex_of_the_ball_on_a_linear_network():
    J = torch.tensor([[[1.0, -2.0], [0.5, 0.0]]], dtype=torch.float64)
    found = indicator.bound(J, torch.zeros(4, 4, dtype=torch.float64), eps=0.3)
    attained = float((vertices(0.3) @ J.flatten()).abs().max())
    assert found["total"] == found["first"] == pytest.approx(attained, rel=1e-12)
    assert found["second"] == found["random_second"] == 0


@pytest.mark.parametrize("seed", range(5))
def test_bound_holds_on_every_vertex_of_a_quadratic(seed):
    _, Q, b = quadratic(seed)
    deltas = vertices(0.7)
    second = ((deltas @ Q) * deltas).sum(1) / 2
    found = indicator.bound(b, Q, eps=0.7)
    assert float((deltas @ b + second).abs().max()) <= found["total"] + 1e-12
    assert found["first"] == pytest.approx(0.7 * float(b.abs().sum()))
    largest = 4 * float(np.abs(np.linalg.eigvalsh(Q.numpy())).max())
    assert found["second"] == pytest.approx(0.245 * min(largest, float(Q.abs().sum())))
    # the mean over all sign vectors is the trace, exactly
    assert found["random_second"] == pytest.approx(float(second.mean()), abs=1e-12)


def test_second_term_of_the_bound_is_attained_when_all_entries_agree():
    H = torch.ones(4, 4, dtype=torch.float64)
    attained = float(((vertices(0.5) @ H) * vertices(0.5)).sum(1).max()) / 2
    assert indicator.bound(torch.zeros(4), H, eps=0.5)["second"] == pytest.approx(attained, rel=1e-12)


def test_second_term_of_the_bound_is_the_smaller_of_its_two_bounds():
    # one entry alone: sum |H_ij| = 3 is attained, d max|lambda| = 12 is not
    H = torch.diag(torch.tensor([3.0, 0.0, 0.0, 0.0], dtype=torch.float64))
    assert indicator.bound(torch.zeros(4), H, eps=0.5)["second"] == pytest.approx(0.375)


def test_curvature_at_scale_of_a_quadratic_is_exact_at_every_scale():
    model, Q, b = quadratic()
    x = images(3, (1, 2, 2))
    # along the signs of the Jacobian, brought to length 1
    unit = (x.flatten(1) @ Q + b).sign() / 2
    for h in (1e-3, 0.1, 5.0):
        found = indicator.curvature_at_scale(model, x, torch.zeros(3, dtype=torch.long), h=h)
        assert torch.allclose(found, (unit @ Q).norm(dim=1), rtol=1e-8)


def test_a_relu_network_has_curvature_at_a_finite_scale():
    model, x = relu_network(), images(3)
    y = labels_of(model, x)
    assert float(indicator.curvature_at_scale(model, x, y, h=2.0).min()) > 0.01
    assert float(indicator.curvature_at_scale(model, x, y, h=1e-9).max()) == 0


@pytest.mark.parametrize("angle", [-1.2, -0.3, 0.0, 0.8, 1.4])
def test_slice_curvature_of_a_circle_is_its_reciprocal_radius(angle):
    R = 2.5  # the graph of sqrt(R^2 - t^2)
    t = R * math.sin(angle)
    slope, second = -t / math.sqrt(R**2 - t**2), -(R**2) / (R**2 - t**2) ** 1.5
    assert indicator.slice_curvature(slope, second) == pytest.approx(1 / R, rel=1e-12)


def test_slice_curvature_of_a_parabola():
    assert indicator.slice_curvature(0.0, -3.0) == 3.0
    assert indicator.slice_curvature(1.0, 3.0) == pytest.approx(3 / 2**1.5)


def test_report_of_a_quadratic_network():
    model, Q, b = quadratic()
    x = images(6, (1, 2, 2))
    z = x.flatten(1)
    value = ((z @ Q) * z).sum(1) / 2 + z @ b
    y = (value < 0).long()
    y[0] = 1 - y[0]  # one image is misclassified
    S, J = torch.where(y == 0, value, -value), z @ Q + b
    eps = 1.001 * float((S / J.abs().sum(1)).sort().values[2])
    found = indicator.report(model, x, y, eps=eps)
    expected = {
        "S": S, "mean_J": J.abs().mean(1), "l1_J": J.abs().sum(1), "l2_J": J.norm(dim=1),
        "curvature": (J.sign() / 2 @ Q).norm(dim=1), "loss_slope": torch.sigmoid(-S) * J.norm(dim=1),
        "linear_distance": S / J.abs().sum(1), "linear_robust": (S / J.abs().sum(1) > eps).double(),
    }  # fmt: skip
    assert set(found) == set(expected)
    for name, values in expected.items():
        assert torch.allclose(found[name], values, rtol=1e-7, atol=1e-10), name
    assert found["linear_robust"].sum() == 3


def test_report_never_sees_more_images_at_once_than_its_batches_hold():
    sizes = []

    def model(x):
        sizes.append(len(x))
        return x.flatten(1)

    x = images(1100, (1, 1, 4))
    indicator.report(model, x, torch.zeros(1100, dtype=torch.long), eps=0.1)
    assert max(sizes) == 500


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda m, x, y: indicator.near_zero_ratio(x, threshold=-1), "threshold is -1; allowed is a number of at least 0"),
        (lambda m, x, y: indicator.bound(x[0], torch.eye(4), eps=-0.1), "eps is -0.1; allowed is a number of at least 0"),
        (lambda m, x, y: indicator.curvature_at_scale(m, x, y, h=0), "h is 0; allowed is a positive number"),
        (lambda m, x, y: indicator.jacobian(m, x * 255, y), "x spans [51, 204]; allowed is [0, 1] (divide 8-bit "
         "images by 255)"),
        (lambda m, x, y: indicator.jacobian(m, (x * 255).byte(), y), "x has dtype torch.uint8; allowed are "
         "floating-point images in [0, 1]"),
        (lambda m, x, y: indicator.jacobian(m, x.flatten(1), y), "x has shape (2, 4); allowed is (n, c, h, w)"),
        (lambda m, x, y: indicator.jacobian(m, x, y[:1]), "y has shape (1,) for 2 images; allowed is (2,)"),
        (lambda m, x, y: indicator.jacobian(m, x, y.double()), "y has dtype torch.float64; allowed is torch.int64"),
        (lambda m, x, y: indicator.jacobian(m, x, y.int()), "y has dtype torch.int32; allowed is torch.int64"),
        (lambda m, x, y: indicator.jacobian(m, x, y - 1), "y holds -1; allowed are labels 0..K-1"),
        (lambda m, x, y: indicator.jacobian(m, x * float("nan"), y), "x holds NaN or infinity; allowed are values in "
         "[0, 1]"),
    ],
)  # fmt: skip
def test_wrong_input_meets_one_sentence(call, sentence, unhooked):
    x = torch.tensor([0.2, 0.8, 0.4, 0.6] * 2, dtype=torch.float64).view(2, 1, 2, 2)
    with pytest.raises(ValueError) as caught:
        call(linear(torch.eye(4, dtype=torch.float64)), x, torch.zeros(2, dtype=torch.long))
    assert str(caught.value) == sentence
