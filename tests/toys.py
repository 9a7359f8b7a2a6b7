"""Networks, images and data small enough that a test can say by hand what must come out."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from paperlib.data import Dataset, Split
from paperlib.model import build
from paperlib.recipe import Recipe

# on tensors this small, threads only wait for each other
torch.set_num_threads(1)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class Quadratic(nn.Module):
    """Logits (x^T Q x / 2 + b^T x, 0): for label 0, S has gradient Q x + b and Hessian Q."""

    def __init__(self, Q: Tensor, b: Tensor):
        super().__init__()
        self.Q, self.b = nn.Parameter(Q), nn.Parameter(b)

    def forward(self, x: Tensor) -> Tensor:
        z = x.flatten(1)
        value = ((z @ self.Q) * z).sum(1) / 2 + z @ self.b
        return torch.stack([value, torch.zeros_like(value)], dim=1)


def linear(W: Tensor, b: Tensor | None = None) -> nn.Sequential:
    """Logits W x + b; ``W`` is (K, d)."""
    layer = nn.Linear(W.shape[1], W.shape[0], dtype=W.dtype)
    with torch.no_grad():
        layer.weight.copy_(W)
        layer.bias.copy_(torch.zeros(len(W), dtype=W.dtype) if b is None else b)
    return nn.Sequential(nn.Flatten(), layer)


def relu_network(seed: int = 4, d: int = 16, classes: int = 4, gain: float = 1.5) -> nn.Sequential:
    """Two hidden layers of ReLUs in double precision, steep enough that small steps change labels; in eval mode."""
    layers = [nn.Linear(d, 12), nn.ReLU(), nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, classes)]
    model = nn.Sequential(nn.Flatten(), *layers).double()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            scale = gain / weight.shape[-1] ** 0.5 if weight.ndim == 2 else 0.1
            weight.copy_(scale * torch.randn(weight.shape, generator=generator))
    return model.eval()


def batchnorm_network(seed: int = 0) -> nn.Sequential:
    """A convolution, BatchNorm whose running statistics differ from any batch's, and dropout, in mixed modes."""
    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU(), nn.Dropout(0.5), nn.Flatten(), nn.Linear(48, 4)
    )  # fmt: skip
    model[1].running_mean.fill_(0.3)
    model[1].running_var.fill_(0.5)
    model.train()
    model[3].eval()
    return model


def smooth_network() -> nn.Module:
    """The small network of the MNIST challenge with softplus, for images of 8 x 8 and four classes."""
    torch.manual_seed(0)
    return build("mnist", width=2, fc=6, activation="softplus", beta=3.0, shape=(1, 8, 8), classes=4)


def images(n: int = 6, shape: tuple = (1, 4, 4), seed: int = 0, dtype=torch.float64) -> Tensor:
    """Random images away from the borders 0 and 1."""
    generator = torch.Generator().manual_seed(seed)
    return 0.2 + 0.6 * torch.rand(n, *shape, generator=generator, dtype=dtype)


def labels_of(model, x: Tensor) -> Tensor:
    """The labels that the model gives, so that every image starts rightly classified."""
    with torch.no_grad():
        return model(x).argmax(1)


def stripes(n: int, seed: int = 0, shape: tuple = (1, 8, 8)) -> Split:
    """A task that a small network learns at once: which quarter of the image is bright."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 4
    x = 0.3 * rng.random((n, *shape))
    half = shape[1] // 2
    for image, label in zip(x, y, strict=True):
        top, left = half * (label // 2), half * (label % 2)
        image[:, top : top + half, left : left + half] += 0.6
    return Split(torch.from_numpy(x).float(), torch.from_numpy(y))


def toy_dataset(shape: tuple = (1, 8, 8), pixel_scale: int = 1) -> Dataset:
    """Four classes, 60 / 20 / 20 images."""
    parts = (stripes(n, seed, shape) for seed, n in enumerate((60, 20, 20)))
    return Dataset("stripes", *parts, classes=4, pixel_scale=pixel_scale, sha256="0" * 64)


def toy_recipe(**changes) -> Recipe:
    """A network of a few hundred weights, two epochs."""
    settings = {
        "data": "stripes", "network": "mnist", "method": "natural", "width": 2, "fc": 8, "epochs": 2, "batch": 16,
        "lr": 0.01, "eps": 0.1, "step_size": 0.05, "steps": 2,
    }  # fmt: skip
    return Recipe(**settings | changes)


def write_archive(path, n: int = 40, **changes) -> dict[str, np.ndarray]:
    """A Keras-style archive of striped 8-bit images; ``changes`` replace arrays, None leaves one out."""
    arrays = {}
    for part, seed in (("train", 0), ("test", 1)):
        split = stripes(n, seed)
        arrays[f"x_{part}"] = (255 * split.x[:, 0].numpy()).astype(np.uint8)
        arrays[f"y_{part}"] = split.y.numpy().astype(np.uint8)
    arrays = {key: array for key, array in (arrays | changes).items() if array is not None}
    np.savez(path, **arrays)
    return arrays


def damages(path: Path) -> Iterator[None]:
    """The file with one bit changed in each of its tenths, cut in half, without its last byte, empty, foreign: in turn."""
    whole = path.read_bytes()
    flipped = []
    for k in range(10):
        place = k * len(whole) // 10
        flipped.append(whole[:place] + bytes([whole[place] ^ 1 << k % 8]) + whole[place + 1 :])
    for content in (*flipped, whole[: len(whole) // 2], whole[:-1], b"", b"not an archive"):
        path.write_bytes(content)
        yield
