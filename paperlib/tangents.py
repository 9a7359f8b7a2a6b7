"""The Hessian of S of a network of affine maps, maxima and smooth activations, in matrix products.

Such a network bends at its activations alone. With the pre-activations ``z`` of a layer, their Jacobian ``A = dz/dx``, the
activation ``s`` and the slope ``g`` of S in its output, the layer's share of the Hessian is ``A^T diag(g s''(z)) A``, and H
is the sum over the layers. ``A`` is carried forward through the network, all pixels of a chunk at once; nothing is
differentiated twice, and the network runs on one image instead of d.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from paperlib.carried import Carried, Layers, UnknownMapError
from paperlib.objective import decision
from paperlib.state import check_image, evaluating

# pixels, or vectors, that are carried forward at a time
CHUNK = 112
# bytes of a network's Jacobians at a time; more cost further passes
MEMORY = 256 * 2**20
# how far, relative to its length, H v may lie from the product that automatic differentiation gives
AGREES = 1e-3
# of the estimates: vectors of a block, blocks, and random vectors beside them
BLOCK, DEPTH, PROBES = 8, 5, 32


# The Hessian.


def hessian(model: Callable, x: Float[Tensor, "c h w"], y: int) -> Float[Tensor, "d d"] | None:
    """H = Hessian of S at one image, exact and symmetric; None where the network has an operation that is neither affine, a
    maximum nor an activation, or where the sum over the layers is not what automatic differentiation says of one direction.

    No more than ``MEMORY`` bytes of Jacobians are held at a time.
    """
    with evaluating(model):
        try:
            layers = recorded(model, x, y)
            H = _summed(model, x, layers)
        except UnknownMapError:
            return None
        agrees = _agrees(model, x, y, lambda v: H @ v)
    return H if agrees else None


def _agrees(model: Callable, x: Float[Tensor, "c h w"], y: int, times: Callable) -> bool:
    """Whether ``times``, a product of the Hessian with a vector, is automatic differentiation's in one random direction.

    It is not where an operation hides what it does: one that overwrites a value, say, or has a gradient of its own.
    """
    v = torch.randn(x.numel(), generator=torch.Generator().manual_seed(0), dtype=x.dtype).to(x.device)
    expected = product(model, x, y, v)
    return bool((times(v) - expected).norm() <= AGREES * expected.norm())


def recorded(model: Callable, x: Float[Tensor, "c h w"], y: int) -> Layers:
    """The activations of a network at one image, with the slope and the bend of each. Raises UnknownMapError."""
    layers = Layers()
    with torch.enable_grad():
        at = x.detach()[None].clone().requires_grad_(True)
        Z = model(Carried.of(at, at.detach()[:0], layers))
        if not isinstance(Z, Carried):
            raise UnknownMapError("logits that are not made of the image")
        S = decision(Z.as_subclass(Tensor), torch.tensor([y], device=x.device))
        layers.settle(S)
    return layers


def product(model: Callable, x: Float[Tensor, "c h w"], y: int, v: Float[Tensor, "d"]) -> Float[Tensor, "d"]:
    """H v by automatic differentiation, zero where S has no second derivative to it."""
    with torch.enable_grad():
        at = x.detach()[None].requires_grad_(True)
        S = decision(model(at), torch.tensor([y], device=x.device))
        if not S.requires_grad:
            return torch.zeros_like(v)
        (J,) = torch.autograd.grad(S.sum(), at, create_graph=True, allow_unused=True, materialize_grads=True)
        if not J.requires_grad:
            return torch.zeros_like(v)
        (Hv,) = torch.autograd.grad((J.flatten() * v).sum(), at, allow_unused=True, materialize_grads=True)
    return Hv.detach().flatten()


def _summed(model: Callable, x: Float[Tensor, "c h w"], layers: Layers) -> Float[Tensor, "d d"]:
    d = x.numel()
    H = x.new_zeros(d, d)
    for part in _parts(layers, d, x.element_size()):
        for (place, units), A in zip(part, _jacobians(model, x, layers, part), strict=True):
            weights = layers.weights[place][units]
            # H is symmetric: a block of rows meets the columns from its own on
            for rows in torch.arange(d, device=x.device).split(max(1, d // 4)):
                low, high = int(rows[0]), int(rows[-1]) + 1
                H[low:high, low:] += _product(A[low:high] * weights.to(A.dtype), A[low:])
    H = H.triu()
    return H + H.triu(1).T


def _product(a: Float[Tensor, "m k"], b: Float[Tensor, "n k"]) -> Float[Tensor, "m n"]:
    """``a b^T``; in single precision by oneDNN, which is twice as fast as the library behind ``@`` where that one is not at
    home on the processor."""
    if a.dtype == torch.float32 and a.device.type == "cpu" and torch.backends.mkldnn.is_available():
        return F.linear(a.to_mkldnn(), b.to_mkldnn()).to_dense()
    return a @ b.T


Part = list[tuple[int, slice]]


def _parts(layers: Layers, d: int, size: int) -> list[Part]:
    """The units of all layers, in parts whose Jacobians fit into ``MEMORY``."""
    most = max(1, MEMORY // (d * size))
    parts, room = [[]], most
    for place, units in enumerate(layers.units):
        at = 0
        while at < len(units):
            if room == 0:
                parts.append([])
                room = most
            taken = min(room, len(units) - at)
            parts[-1].append((place, slice(at, at + taken)))
            at, room = at + taken, room - taken
    return [part for part in parts if part]


def _jacobians(model: Callable, x: Float[Tensor, "c h w"], layers: Layers, part: Part) -> list[Float[Tensor, "d k"]]:
    """dz/dx at some units, transposed: one row a pixel."""
    d, kind = x.numel(), x.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype
    found = [x.new_empty(d, units.stop - units.start, dtype=dtype) for _, units in part]
    for pixels in torch.arange(d, device=x.device).split(CHUNK):

        def see(place: int, tangents: Tensor, pixels: Int[Tensor, "r"] = pixels) -> None:
            for (at, units), A in zip(part, found, strict=True):
                if at == place:
                    A[pixels] = tangents.flatten(1).index_select(1, layers.units[place][units]).to(A.dtype)

        one = x.new_zeros(len(pixels), d)
        one[torch.arange(len(pixels), device=x.device), pixels] = 1
        layers.see, layers.place = see, 0
        with torch.no_grad():
            model(Carried.of(x.detach()[None], one.view(-1, *x.shape), layers))
    return found


# Estimates.


def estimates(
    model: Callable, x: Float[Tensor, "c h w"], y: int, *, generator: torch.Generator | None = None
) -> dict[str, float]:
    """``l2``, the Frobenius norm of the Hessian of S, and ``top``, its largest eigenvalue in magnitude, from some hundred
    products of it with vectors, each good to about one percent.

    A block Krylov space (Musco and Musco 2015) of ``BLOCK`` times ``DEPTH`` directions holds what is large; what is left of
    the norm beside it is estimated from ``PROBES`` random vectors (Meyer et al. 2021). Random numbers are those of seed 0
    unless a ``generator`` is given. Raises UnknownMapError for a network that ``hessian`` does not know either, and where a
    product is not what automatic differentiation says of it.
    """
    check_image(x, y)
    generator = generator or torch.Generator().manual_seed(0)
    d = x.numel()

    def drawn(n: int) -> Float[Tensor, "n d"]:
        return torch.randn(n, d, generator=generator, dtype=x.dtype).to(x.device)

    with evaluating(model):
        layers = recorded(model, x, y)
        if not _agrees(model, x, y, lambda v: products(model, x, layers, v[None])[0]):
            raise UnknownMapError("an operation that hides what it does: automatic differentiation has another product")
        if not any(len(units) for units in layers.units):
            return {"l2": 0.0, "top": 0.0}
        block, space = drawn(min(BLOCK, d)), x.new_empty(0, d)
        images = []
        for _ in range(min(DEPTH, d // len(block))):
            block = _new_directions(block if not images else images[-1], space)
            space = torch.cat([space, block])
            images.append(products(model, x, layers, block))
        probes = drawn(PROBES)
        left = _beside(products(model, x, layers, _beside(probes, space)), space)
    image = torch.cat(images).double()
    inside = image @ space.double().T
    square = 2 * image.square().sum() - inside.square().sum() + left.double().square().sum() / len(probes)
    top = torch.linalg.eigvalsh((inside + inside.T) / 2).abs().max()
    return {"l2": float(square.clamp_min(0).sqrt()), "top": float(top)}


def products(model: Callable, x: Float[Tensor, "c h w"], layers: Layers, V: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
    """H v for every row of ``V``: the gradient of ``v^T H v / 2``, which is a weighted sum of squares of the tangents."""
    found = []
    for part in V.split(CHUNK):
        v = part.detach().requires_grad_(True)
        forms = []

        def see(place: int, tangents: Tensor, forms: list = forms) -> None:
            units, weights = layers.units[place], layers.weights[place]
            if len(units):
                forms.append((weights * tangents.flatten(1).index_select(1, units).square()).sum() / 2)

        layers.see, layers.place = see, 0
        with torch.enable_grad():
            model(Carried.of(x.detach()[None], v.view(-1, *x.shape), layers))
            if forms and not sum(forms).requires_grad:
                raise UnknownMapError("a function with a gradient of its own")
            found.append(torch.autograd.grad(sum(forms), v)[0] if forms else torch.zeros_like(part))
    return torch.cat(found)


def _beside(V: Float[Tensor, "n d"], space: Float[Tensor, "k d"]) -> Float[Tensor, "n d"]:
    """``V`` without its part in the span of orthonormal rows."""
    return V - (V @ space.T) @ space


def _new_directions(V: Float[Tensor, "n d"], space: Float[Tensor, "k d"]) -> Float[Tensor, "n d"]:
    """Orthonormal rows that span ``V`` beside ``space``; twice, for once leaves rounding behind."""
    for _ in range(2):
        V = torch.linalg.qr(_beside(V, space).T).Q.T
    return V
