"""Borrowing a network without leaving a trace: modes, gradients and statistics stay as the caller had them."""

import copy
import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from jaxtyping import Float
from torch import Tensor, nn

from paperlib.refusal import InputError as InputError
from paperlib.refusal import is_integer, reject


@contextmanager
def evaluating(model: Callable) -> Iterator[None]:
    """Every submodule in eval mode inside the block, each in its own former mode after it.

    In eval mode BatchNorm uses frozen statistics, so that one image's gradient cannot depend on its neighbours.
    So are the modules that a plain callable reaches (``modules_of``).
    """
    reject(not callable(model), f"model is {_kind(model)}; allowed is a network or a function from images to logits")
    modules = list(dict.fromkeys(each for module in modules_of(model) for each in module.modules()))
    modes = [module.training for module in modules]
    try:
        for module in modules:
            module.training = False
        yield
    finally:
        for module, mode in zip(modules, modes, strict=True):
            module.training = mode


def frozen_copy(model: Callable) -> nn.Module | None:
    """A copy of a network in eval mode with frozen weights; None of what is no module, or cannot be copied: one that holds
    tensors of a graph, a lock or an open file, or that was traced."""
    if not isinstance(model, nn.Module):
        return None
    try:
        return copy.deepcopy(model).eval().requires_grad_(False)
    except Exception:  # whatever a reader's module raises
        return None


def modules_of(model: object, depth: int = 4) -> list[nn.Module]:
    """The modules behind any callable: itself, or those that a function closes over, names, binds or takes as defaults,
    and those among an object's attributes; none where they cannot be seen."""
    if isinstance(model, nn.Module):
        return [model]
    if depth == 0 or isinstance(model, (type, Tensor)):
        return []
    if isinstance(model, functools.partial):
        near = [model.func, *model.args, *model.keywords.values()]
    elif inspect.ismethod(model):
        near = [model.__self__, model.__func__]
    elif inspect.isfunction(model):
        near = [model.__wrapped__] if hasattr(model, "__wrapped__") else []
        near += _reached(model)
    elif isinstance(model, (list, tuple)):
        near = list(model)
    else:
        near = list(model.values() if isinstance(model, dict) else getattr(model, "__dict__", {}).values())
    kinds = (nn.Module, functools.partial, list, tuple, dict)
    near = [part for part in near if isinstance(part, kinds) or callable(part)]
    return list(dict.fromkeys(module for part in near for module in modules_of(part, depth - 1)))


def _reached(function: Callable) -> list[object]:
    """What a function's body can reach: its closure, defaults, and the globals that it names."""
    cells = []
    for cell in function.__closure__ or ():
        try:
            cells.append(cell.cell_contents)
        except ValueError:  # not filled yet
            continue
    named = [function.__globals__[name] for name in function.__code__.co_names if name in function.__globals__]
    defaults = [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
    # of globals only modules, and functions of the same file: others would lead anywhere
    near = (inspect.isfunction(part) and part.__globals__ is function.__globals__ for part in named)
    kept = [part for part, same in zip(named, near, strict=True) if same or isinstance(part, nn.Module)]
    return [*cells, *defaults, *kept]


def input_gradient(
    f: Callable[[Tensor], Float[Tensor, "n"]], x: Float[Tensor, "n ..."], *, create_graph: bool = False,
    backward: Callable[[], AbstractContextManager] = nullcontext,
) -> tuple[Float[Tensor, "n"], Float[Tensor, "n ..."]]:  # fmt: skip
    """Values ``f(x)`` and their gradient with respect to each example, touching no parameter's ``.grad``.

    ``f`` must treat the examples of a batch independently. Where ``f`` does not depend on ``x`` the gradient is zero.
    With ``create_graph`` both results can be differentiated again with respect to the weights (double backpropagation).
    ``backward`` makes what the backward pass runs in.
    """
    with torch.enable_grad():
        x = x.detach().requires_grad_(True)
        values = f(x)
        if not values.requires_grad:
            return values, torch.zeros_like(x)
        options = {"create_graph": create_graph, "allow_unused": True, "materialize_grads": True}
        with backward():
            (gradient,) = torch.autograd.grad(values.sum(), x, **options)
    return (values if create_graph else values.detach()), gradient


def check_batch(x: Tensor, y: Tensor) -> None:
    """Images ``(n, c, h, w)`` in [0, 1] and as many integer labels, or InputError with one sentence."""
    check_images(x)
    check_labels(x, y)


def check_images(x: Tensor) -> None:
    """Images ``(n, c, h, w)`` in [0, 1], or InputError with one sentence."""
    reject(not isinstance(x, Tensor), f"x is {_kind(x)}; allowed is a tensor of images in [0, 1]")
    reject(not x.is_floating_point(), f"x has dtype {x.dtype}; allowed are floating-point images in [0, 1]")
    exact = x.dtype in (torch.float32, torch.float64)
    reject(not exact, f"x has dtype {x.dtype}, which rounds a perturbation; allowed are torch.float32 and torch.float64")
    reject(x.ndim != 4 or 0 in x.shape[1:], f"x has shape {tuple(x.shape)}; allowed is (n, c, h, w)")
    reject(len(x) > 0 and not bool(torch.isfinite(x).all()), "x holds NaN or infinity; allowed are values in [0, 1]")
    low, high = (float(end) for end in x.detach().aminmax()) if x.numel() else (0.0, 0.0)
    reject(low < 0 or high > 1, f"x spans [{low:.8g}, {high:.8g}]; allowed is [0, 1] (divide 8-bit images by 255)")


def check_labels(x: Tensor, y: Tensor, name: str = "y") -> None:
    """One label of at least 0 for each of ``x``, or InputError with one sentence; ``check_classes`` knows the largest."""
    _check_integers(x, y, name)
    lowest = int(y.min()) if len(y) else 0
    reject(lowest < 0, f"{name} holds {lowest}; allowed are labels 0..K-1")


def check_classes(Z: Tensor, y: Tensor, name: str = "y") -> None:
    """One label for each of the logits ``Z`` (n, K), and one that they have, or InputError with one sentence."""
    check_logits(Z)
    _check_integers(Z, y, name)
    lowest, highest = (int(end) for end in y.aminmax()) if y.numel() else (0, 0)
    K = Z.shape[1]
    beyond = lowest if lowest < 0 else highest
    reject(lowest < 0 or highest >= K, f"{name} holds {beyond}; allowed are labels 0..{K - 1}")


def check_logits(Z: Tensor) -> None:
    """Logits ``(n, K)`` of at least two classes, or InputError with one sentence."""
    fits = isinstance(Z, Tensor) and Z.is_floating_point() and Z.ndim == 2 and Z.shape[1] > 1
    found = f"{Z.dtype} of shape {tuple(Z.shape)}" if isinstance(Z, Tensor) else _kind(Z)
    reject(not fits, f"the logits are {found}; allowed are floating-point numbers (n, K) with K of at least 2")


def _check_integers(x: Tensor, y: Tensor, name: str) -> None:
    reject(not isinstance(y, Tensor), f"{name} is {_kind(y)}; allowed is a tensor of labels 0..K-1")
    fits = y.ndim == 1 and len(x) == len(y)
    reject(not fits, f"{name} has shape {tuple(y.shape)} for {len(x)} images; allowed is ({len(x)},)")
    reject(y.dtype != torch.int64, f"{name} has dtype {y.dtype}; allowed is torch.int64")


def check_finite(name: str, values: object) -> None:
    """At least one number, all of them finite, in an array or tensor, or InputError with one sentence."""
    tensor = values if isinstance(values, Tensor) else torch.as_tensor(values)
    reject(tensor.numel() == 0, f"{name} is empty; allowed is at least one number")
    reject(not bool(torch.isfinite(tensor).all()), f"{name} holds NaN or infinity; allowed are finite numbers")


def check_image(x: Tensor, y: object = 0) -> None:
    """One image ``(c, h, w)`` in [0, 1] and its label, or InputError with one sentence."""
    reject(not (is_integer(y) and y >= 0), f"y is {y!r}; allowed is a label 0..K-1")
    single = isinstance(x, Tensor) and x.ndim == 3
    reject(not single, f"x is {tuple(x.shape) if isinstance(x, Tensor) else _kind(x)}; allowed is one image (c, h, w)")
    check_images(x[None])


def check_like(name: str, values: object, x: Tensor, of: str = "x") -> None:
    """A finite tensor of the shape of ``x``, which is called ``of``, or InputError with one sentence."""
    reject(not isinstance(values, Tensor), f"{name} is {_kind(values)}; allowed is a tensor of shape {tuple(x.shape)}")
    reject(values.shape != x.shape, f"{name} has shape {tuple(values.shape)}; allowed is that of {of}, {tuple(x.shape)}")
    check_finite(name, values)


def _kind(value: object) -> str:
    return "nothing" if value is None else f"a {type(value).__name__}"
