"""What determines a network's weights: a frozen ``Recipe``, checked before any work.

It loads without torch, so that settings are read and refused in no time. What a name such as ``resnet`` stands for is in
the modules that build, smooth, penalise and train; a test holds their tables against these.
"""

from dataclasses import asdict, dataclass, fields

from paperlib.refusal import (
    InputError,
    check_choice,
    check_count,
    check_positive,
    check_size,
    is_integer,
    is_number,
    reject,
)


@dataclass(frozen=True)
class Needs:
    """What a method takes from its recipe.

    ``penalty``: whether its loss has one, whose strength ``c`` must then be positive; ``curvature``: whether it has a second
    one, of the gradient's change, which needs a strength and a scale ``h``. ``source``: what another network may give it,
    its adversarial ``examples`` or the weights that it ``starts`` from.
    """

    penalty: bool = False
    curvature: bool = False
    source: str = ""


# the losses are in paperlib.losses
METHODS = {
    "natural": Needs(),
    "ours": Needs(penalty=True, source="starts"),
    "crossentropy": Needs(penalty=True, source="starts"),
    "ours+curvature": Needs(penalty=True, curvature=True, source="starts"),
    "advtrain": Needs(source="examples"),
    "ours+advtrain": Needs(penalty=True),
    "minmax": Needs(),
}
# in paperlib.model
NETWORKS = (
    "mnist",
    "average",
    "strided",
    "small",
    "valid",
    "cifar",
    "cifar-average",
    "cifar-plain",
    "resnet",
    "linear",
)
ACTIVATIONS = ("relu", "softplus", "silu", "gelu")
NORMS = ("1", "2", "inf", "squared")

CHOICES = {
    "network": NETWORKS, "method": METHODS, "activation": ACTIVATIONS, "p": NORMS, "optimizer": ("adam", "sgd"),
    "precision": ("fp32", "bf16"), "keep": ("last", "best"),
}  # fmt: skip


@dataclass(frozen=True)
class Recipe:
    """Everything that determines a network's weights.

    ``c`` is the strength of the penalty: Eq. 11's c for ``ours``, Ross and Doshi-Velez's lambda for ``crossentropy``; it
    multiplies the batch mean of one image's ``|grad|_p`` on [0, 1] inputs (``p``: 1, 2, inf, or ``squared`` for
    ``|.|_2^2``), and grows linearly from 0 during the first ``warmup`` epochs. ``curvature`` is that of the same norm of
    the gradient's change at a distance ``h`` per pixel, in the data's unit, and grows with ``c``. ``eps``, ``step_size``
    and ``steps`` set the adversarial examples of training and of the progress bar, in the data's unit (``pixel_scale``);
    ``eps`` too grows from 0, during ``eps_warmup`` epochs. ``keep`` names the epoch whose weights are kept: the ``last``,
    or the ``best`` under the progress bar's attack on held-out images (early stopping; Rice et al. 2020). ``source``
    names a network of ``experiments.yml``: AdvTrain makes its examples against that one, once, before training, where
    without it the network in training meets examples of its own; a penalised network starts from its weights, and from
    random ones without.
    Raises ValueError, naming the field, its value and what is allowed.
    """

    data: str
    network: str
    method: str
    width: int
    epochs: int
    eps: float
    step_size: float
    fc: int = 256
    activation: str = "relu"
    beta: float = 10.0
    steps: int = 10
    c: float = 0.0
    p: str | int = "1"
    curvature: float = 0.0
    h: float = 0.0
    warmup: float = 0.0
    eps_warmup: float = 0.0
    batch: int = 100
    optimizer: str = "adam"
    lr: float = 2e-3
    weight_decay: float = 0.0
    augment: bool = False
    average: float = 0.0
    keep: str = "last"
    precision: str = "fp32"
    channels_last: bool = False
    train_n: int | None = None
    source: str = ""
    seed: int = 0

    def __post_init__(self):
        object.__setattr__(self, "p", str(self.p))  # YAML reads 1 and 2 as numbers
        for name, values in CHOICES.items():
            check_choice(name, getattr(self, name), values)
        for name in ("width", "fc", "epochs", "batch", "steps"):
            check_count(name, getattr(self, name))
        for name in ("c", "curvature", "h", "warmup", "eps_warmup", "eps", "weight_decay"):
            check_size(name, getattr(self, name))
        for name in ("lr", "step_size", "beta"):
            check_positive(name, getattr(self, name))
        for name in ("augment", "channels_last"):
            value = getattr(self, name)
            reject(not isinstance(value, bool), f"{name} is {value!r}; allowed are true and false")
        reject(not isinstance(self.data, str), f"data is {self.data!r}; allowed is a name such as digits")
        check_count("seed", self.seed, least=0)
        some = self.train_n is None or (is_integer(self.train_n) and self.train_n > 0)
        reject(not some, f"train_n is {self.train_n!r}; allowed is an integer of at least 1, or nothing for all images")
        reject(not isinstance(self.source, str), f"source is {self.source!r}; allowed is a name such as mnist-natural")
        fraction = is_number(self.average) and 0 <= self.average < 1
        reject(not fraction, f"average is {self.average!r}; allowed is a number in [0, 1)")
        self._check_method(METHODS[self.method])

    def _check_method(self, needs: Needs) -> None:
        unfit, sourced = bool(self.source) and not needs.source, [name for name, of in METHODS.items() if of.source]
        reject(unfit, f"source is {self.source!r} with method {self.method!r}; allowed is a source with method "
               f"{' or '.join(map(repr, sourced))}")  # fmt: skip
        positive = ["c"] * needs.penalty + ["curvature", "h"] * needs.curvature
        for name in positive:
            weak = getattr(self, name) == 0
            reject(weak, f"{name} is 0 with method {self.method!r}; allowed is a positive number")

    @classmethod
    def of(cls, settings: dict) -> "Recipe":
        """From a mapping such as a card's or a YAML file's; ValueError names an unknown or missing field."""
        reject(not isinstance(settings, dict), f"recipe is {settings!r}; allowed is a mapping of its fields")
        known = {field.name for field in fields(cls)}
        unknown = sorted(set(settings) - known)
        reject(bool(unknown), f"recipe field {', '.join(unknown)} is unknown; allowed are {', '.join(sorted(known))}")
        try:
            return cls(**settings)
        except TypeError as error:
            # what Python says of a call, without the call
            raise InputError(f"recipe is incomplete: it lacks {str(error).rpartition(': ')[2]}") from error

    def to_dict(self) -> dict:
        """The fields as plain values."""
        return asdict(self)
