"""A reader's network as every measurement needs it: float images in, logits out, the caller's images untouched.

``Wrapped`` picks the logits of a tuple or dictionary, normalises, keeps to the precision of the network, averages over
random passes when asked, and takes a batch in parts where memory is short.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint, set_checkpoint_early_stop

from paperlib.provenance import free_memory
from paperlib.refusal import Refusal
from paperlib.state import modules_of, reject

# a batch larger than this is never tried: the library's own
LARGEST = 500


class NetworkError(Refusal):
    """A network or its weights that cannot be loaded or measured; one sentence that names it."""


@contextmanager
def named(what: str) -> Iterator[None]:
    """Whatever the reader's code or file raises inside the block is a NetworkError: ``what``, and the reason."""
    try:
        yield
    except NetworkError:
        raise
    except (Exception, SystemExit) as error:
        said = str(error).strip().partition("\n")[0].partition(". ")[0].rstrip(".: ")
        raise NetworkError(f"{what} ({': '.join(filter(None, [type(error).__name__, said]))})") from error


def out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory did not suffice."""
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or (
        isinstance(error, RuntimeError) and "alloc" in str(error) and "memory" in str(error)
    )


class Wrapped(nn.Module):
    """``network`` between images in [0, 1] and logits of the images' own precision.

    ``logits`` names them in a tuple (its place) or dictionary (its key). ``mean`` and ``std`` (one number, or one a channel)
    normalise images before the network. ``average`` > 1 takes the mean logits of so many passes, whose random numbers come
    from ``seed`` and the count of calls. ``batch`` is how many images fit into memory at once, None for any number.
    ``clip`` brings values back into [0, 1] for a network that refuses others.
    """

    def __init__(self, network: Callable, *, logits: str = "", mean: tuple[float, ...] = (), std: tuple[float, ...] = (),
                 average: int = 1, seed: int = 0):  # fmt: skip
        super().__init__()
        reject(average < 1, f"average is {average}; allowed is at least 1")
        self.inside = nn.ModuleList(modules_of(network))
        # past nn.Module's own registry, which takes no plain callable
        object.__setattr__(self, "network", network)
        self.logits, self.average, self.seed = logits, average, seed
        self.batch: int | None = None
        self.least = 2
        self.clip, self.calls = False, 0
        self.passed: Callable[[int], object] | None = None
        floats = [t for m in self.inside for t in (*m.parameters(), *m.buffers()) if t.is_floating_point()]
        self.dtype, self.place = (floats[0].dtype, floats[0].device) if floats else (None, None)
        for name, value in (("mean", mean), ("std", std)):
            self.register_buffer(name, torch.tensor(value).view(-1, 1, 1) if value else None, persistent=False)

    def forward(self, x: Float[Tensor, "n c h w"]) -> Tensor:
        self.calls += 1
        while True:
            try:
                return self._in_parts(x, self.seed + self.calls)
            except Exception as error:
                if not out_of_memory(error):
                    raise
                smaller = min(self.batch or len(x), len(x)) // 2
            if not smaller:
                raise NetworkError(f"one image of shape {tuple(x.shape[1:])} does not fit into memory; allowed are smaller "
                                   "images or another machine")  # fmt: skip
            self.batch = smaller

    def _in_parts(self, x: Tensor, seed: int) -> Tensor:
        if self.batch is None or len(x) <= self.batch:
            return self._averaged(x, seed)
        graph = torch.is_grad_enabled() and x.requires_grad
        parts = x.split(self.batch)
        # a part's activations are computed again on the way back, or all parts' would lie in memory together
        if graph:
            # without the early stop, which is an exception that ``named`` would take for the network's
            with set_checkpoint_early_stop(False):
                return torch.cat([checkpoint(self._averaged, part, seed, use_reentrant=False) for part in parts])
        return torch.cat([self._averaged(part, seed) for part in parts])

    def _averaged(self, x: Tensor, seed: int) -> Tensor:
        if self.average == 1:
            Z = self.once(x)
        else:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                passes = [self.once(x) for _ in range(self.average)]
            Z = torch.stack(passes).mean(0)
        if self.passed is not None:
            self.passed(len(x))
        return Z

    def once(self, x: Float[Tensor, "n c h w"]) -> Tensor:
        """One pass: (n, K), checked and of the images' precision; whole numbers stay what they are."""
        # a copy, for a network may change what it gets
        z = x.clamp(0, 1) if self.clip else x.clone()
        z = z if self.mean is None else z - self.mean.to(z)
        z = z if self.std is None else z / self.std.to(z)
        with memory_passes(), named(f"the network does not take images of shape {tuple(x.shape[1:])}"):
            made = self.network(z.to(device=self.place, dtype=self.dtype))
        Z = picked(made, self.logits)
        if not isinstance(Z, Tensor) or Z.ndim != 2 or len(Z) != len(x):
            found = tuple(Z.shape) if isinstance(Z, Tensor) else type(Z).__name__
            n, images = len(x), "image" if len(x) == 1 else "images"
            raise NetworkError(f"the network returns {found} for {n} {images}; allowed are logits ({n}, K) with K >= "
                               f"{self.least}")  # fmt: skip
        return Z.to(x) if Z.is_floating_point() else Z


@contextmanager
def memory_passes() -> Iterator[None]:
    """An exhausted memory leaves the block as it is, even from within ``named``."""
    try:
        yield
    except NetworkError as error:
        if error.__cause__ is not None and out_of_memory(error.__cause__):
            raise error.__cause__ from None
        raise


def picked(made: object, key: str) -> object:
    """The logits in what a network returned: itself, or the entry that ``key`` names. Raises NetworkError without one."""
    if isinstance(made, Tensor) or not isinstance(made, (Mapping, tuple, list)):
        if key:
            raise NetworkError(f"logits is {key!r}, but the network returns {type(made).__name__}, which has no entries; "
                               "allowed is to leave logits out")  # fmt: skip
        return made
    entries = dict(made) if isinstance(made, Mapping) else dict(enumerate(made))
    by_name = {str(name): value for name, value in entries.items()}
    if key in by_name:
        return by_name[key]
    kinds = {n: tuple(v.shape) if isinstance(v, Tensor) else type(v).__name__ for n, v in by_name.items()}
    held = ", ".join(f"{name} {kind}" for name, kind in kinds.items())
    if key:
        raise NetworkError(f"logits is {key!r}; allowed are the entries that the network returns: {held}")
    raise NetworkError(f"the network returns a {type(made).__name__} of {held}; name the logits with --logits KEY (or "
                       "logits=KEY)")  # fmt: skip


# Memory.


def available_memory(device: torch.device | None = None) -> int:
    """Bytes that are free for a batch: on the accelerator, or what the system and the container leave."""
    if device is not None and device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return free_memory()


def memory_of(model: Callable, image: Float[Tensor, "1 c h w"]) -> int:
    """Bytes that the graph of one image's gradient holds, weights left out."""
    weights = {t.untyped_storage().data_ptr() for m in modules_of(model) for t in (*m.parameters(), *m.buffers())}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        alive = model(image.detach().clone().requires_grad_(True))
    del alive
    return sum(size for place, size in kept.items() if place not in weights)


def fitting_batch(model: Callable, image: Float[Tensor, "1 c h w"]) -> int | None:
    """How many images can be differentiated at once in a third of the free memory; None where ``LARGEST`` fit."""
    fits = available_memory(image.device) // (3 * max(1, memory_of(model, image)))
    return None if fits >= LARGEST else max(1, fits)
