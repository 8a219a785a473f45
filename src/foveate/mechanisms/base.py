"""What every mechanism is: the seven interfaces, the facets, the cost, and the tap that shows the weights.

A mechanism takes the number of input ``channels`` first and every option by keyword. Its ``forward`` is a
pure function of its input and its parameters. It says what it is (``facets``), what it costs (``cost``), and
lets its weights flow through a named child, ``self.map = MapTap(...)``, so that they can be seen.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import ClassVar, Literal, get_args

from jaxtyping import Float
from torch import Tensor, nn

from foveate.errors import OptionError, ShapeError
from foveate.registry import Registry

Over = Literal[
    "channels", "positions", "heads", "scales", "branches", "layers", "steps", "classes", "patches"
]
DrivenBy = Literal["input", "query"]
Weighting = Literal["soft", "hard"]
Place = Literal["input", "features", "pool", "skip", "bottleneck", "output"]


@dataclass(frozen=True)
class Facets:
    """The four questions that every mechanism answers.

    Args:
        over: What it weighs; several for a mechanism that weighs several.
        driven_by: Who asks: the input itself (bottom-up) or a query (top-down).
        weighting: How it weighs: soft (sigmoid gate, softmax) or hard (argmax, sampled, top-k).
        sites: Where it can sit.
    """

    over: tuple[Over, ...]
    driven_by: DrivenBy
    weighting: Weighting
    sites: tuple[Place, ...]

    def __post_init__(self) -> None:
        for name, allowed in (
            ("over", Over),
            ("driven_by", DrivenBy),
            ("weighting", Weighting),
            ("sites", Place),
        ):
            values = getattr(self, name)
            for value in (values,) if isinstance(values, str) else values:
                if value not in get_args(allowed):
                    raise ValueError(f'facet {name}: "{value}" is none of {", ".join(get_args(allowed))}')


@dataclass(frozen=True)
class Cost:
    """What a mechanism or a model costs for one image.

    Args:
        parameters: Learnable numbers.
        macs: Multiply-adds of matrix products and convolutions, each counted once, fused attention included.
            Pooling, normalisation, activations and elementwise products are not counted, as the field does.
        bytes: Size of the parameters and buffers, in bytes.
    """

    parameters: int
    macs: int
    bytes: int

    def __add__(self, other: Cost) -> Cost:
        return Cost(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def __sub__(self, other: Cost) -> Cost:
        return Cost(*(getattr(self, f.name) - getattr(other, f.name) for f in fields(self)))


class MapTap(nn.Identity):
    """An identity that the weights of a mechanism flow through, so that a forward hook can read them.

    Args:
        axes: The axes of the weights, by einops' habit: ``b`` batch, ``c`` channels, ``h`` ``w`` rows and
            columns, ``n`` positions (h*w), ``m`` the positions, channels or slots looked at, ``k`` heads,
            ``q`` classes, ``1`` for one.
        sums: Axes over which the weights sum to one, such as ``"m"`` or ``"h w"``; empty for gates.
        low: The least value that a weight can take.
        high: The greatest value that a weight can take.

    Attributes:
        recording: True only while ``fv.record`` listens. A mechanism whose fast path never forms its weights
            forms them when this is True.
    """

    def __init__(self, axes: str, *, sums: str = "", low: float = 0.0, high: float = 1.0) -> None:
        super().__init__()
        self.axes, self.sums, self.low, self.high = axes, sums, low, high
        self.recording = False

    def extra_repr(self) -> str:
        """Return the axes for ``print(model)``."""
        return f'"{self.axes}"' + (f', sums to 1 over "{self.sums}"' if self.sums else "")


class BatchNorm(nn.BatchNorm2d):
    """Batch normalisation that also trains on a single value per channel.

    One value has no variance, and ``nn.BatchNorm2d`` raises: a last batch of one image with a 1 x 1 map ends
    the run. There the running statistics stand in, as in eval; they are not updated.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Normalise (B, C, H, W) each channel by the batch, or by the running statistics for one value."""
        if self.training and input.shape[0] * input.shape[2] * input.shape[3] == 1:
            return nn.functional.batch_norm(
                input,
                self.running_mean,
                self.running_var,
                self.weight,
                self.bias,
                training=False,
                eps=self.eps,
            )
        return super().forward(input)


class Mechanism(nn.Module, ABC):
    """The root of the seven interfaces; see the module's docstring.

    Class attributes:
        interface: One of the seven, in lower case; set by the interface.
        facets: The answers to the four questions.
        variants: For each option another value than the default; the contract tests that it has an effect.
        gate: The dotted name of a parameter of its own that starts at zero and so makes the fresh mechanism
            return its input, such as ``"gamma"``; None for a mechanism that does not start as the identity.
    """

    interface: ClassVar[str]
    facets: ClassVar[Facets]
    variants: ClassVar[Mapping[str, object]] = {}
    gate: ClassVar[str | None] = None
    channels: int

    @abstractmethod
    def cost(self, height: int, width: int) -> Cost:
        """Return the cost for one (C, height, width) map, by the closed form in the file's header."""

    def _check(self, x: Tensor) -> None:
        """Raise a ShapeError unless ``x`` is a (B, C, H, W) map with the channels this was built for."""
        name = type(self).__name__
        if x.ndim != 4:
            raise ShapeError(
                f"{name}: got a tensor of shape {tuple(x.shape)}, expected a map (B, {self.channels}, H, W). "
                "For tokens (B, N, C) insert it with fv.insert, which lays them out as a map."
            )
        if x.shape[1] != self.channels:
            raise ShapeError(
                f"{name}: got a map of {x.shape[1]} channels, built for {self.channels}. "
                f"Build it with channels={x.shape[1]}."
            )
        if not x.is_floating_point():
            raise ShapeError(
                f"{name}: got a map of {x.dtype} with {self.channels} channels, expected floating point. "
                "Convert it first, for images with x.float() / 255."
            )


class Refine(Mechanism):
    """Map to map of the same shape."""

    interface = "refine"

    @abstractmethod
    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Weigh parts of ``x``."""


class Pool(Mechanism):
    """Map to one vector."""

    interface = "pool"

    @abstractmethod
    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c"]:
        """Reduce ``x`` to one vector an image."""


class Gate(Mechanism):
    """A map, weighed by what a coarser map asks for."""

    interface = "gate"

    @abstractmethod
    def forward(
        self, x: Float[Tensor, "b c h w"], gating: Float[Tensor, "b g i j"]
    ) -> Float[Tensor, "b c h w"]:
        """Weigh parts of ``x`` by the coarser map ``gating``."""


class Fuse(Mechanism):
    """Several maps to one."""

    interface = "fuse"

    @abstractmethod
    def forward(self, maps: list[Float[Tensor, "b c _ _"]]) -> Float[Tensor, "b c h w"]:
        """Weigh ``maps`` against each other and sum them."""


class Read(Mechanism):
    """A query reads a memory."""

    interface = "read"

    @abstractmethod
    def forward(
        self, query: Float[Tensor, "b t q"], memory: Float[Tensor, "b n d"], mask: Tensor | None = None
    ) -> tuple[Float[Tensor, "b t d"], Float[Tensor, "b t n"]]:
        """Return the context and the weights; ``mask`` (B, N) is True where the memory may be read."""


class Select(Mechanism):
    """An image to K patches of it."""

    interface = "select"

    @abstractmethod
    def forward(self, image: Float[Tensor, "b c h w"]) -> tuple[Tensor, Tensor, Tensor]:
        """Return patches (B, K, C, h, w), their places (B, K, 2) and log-probabilities (B, K)."""


class Label(Mechanism):
    """A map to one score per class; takes ``channels`` and ``classes``."""

    interface = "label"

    @abstractmethod
    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b q"]:
        """Return logits."""


mechanisms: Registry[type[Mechanism]] = Registry("mechanism", see="foveate list")


def reduced(channels: int, reduction: int, least: int = 1) -> int:
    """Return ``channels // reduction``, but never fewer than ``least``: a layer of width 0 gates nothing.

    Raises:
        OptionError: One of the two is not a positive whole number.
    """
    return max(least, whole("channels", channels) // whole("reduction", reduction))


def whole(option: str, value: int, least: int = 1) -> int:
    """Return ``value`` if it is a whole number of at least ``least``.

    Raises:
        OptionError: It is not; the text names ``option``.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise OptionError(f"{option}: got {value!r}, expected a whole number of at least {least}")
    return value


def odd(option: str, value: int) -> int:
    """Return ``value`` if it is an odd whole number, as a kernel that is centred on its pixel needs.

    Raises:
        OptionError: It is not; the text names ``option``.
    """
    if whole(option, value) % 2 == 0:
        raise OptionError(f"{option}: got {value}, expected an odd number, such as {value + 1}")
    return value


def build(name: str, channels: int, **options: object) -> Mechanism:
    """Build a mechanism from its name; a misspelt option is answered with the options there are.

    Raises:
        UnknownNameError: No mechanism has this name.
        OptionError: An option does not exist, or is missing.
    """
    cls = mechanisms[name]
    known = options_of(cls)
    for option in options:
        if option not in known:
            raise OptionError(f'{name} has no option "{option}". Its options: {", ".join(known) or "none"}')
    missing = [o for o, default in known.items() if default is inspect.Parameter.empty and o not in options]
    if missing:
        raise OptionError(f"{name} needs {', '.join(missing)}=...")
    return cls(whole("channels", channels), **options)


def options_of(cls: type[Mechanism]) -> dict[str, object]:
    """Return the options of a mechanism and their defaults (``inspect.Parameter.empty`` for none)."""
    signature = inspect.signature(cls)
    return {name: p.default for name, p in signature.parameters.items() if p.kind is p.KEYWORD_ONLY}


def header(cls: type[Mechanism]) -> dict[str, str]:
    """Return the header of a mechanism's file: the sentence, and its named lines.

    The keys are ``Summary``, ``Formula``, ``Paper``, ``Shapes``, ``Cost`` and ``Differs``.
    """
    lines = (inspect.getdoc(inspect.getmodule(cls)) or "").splitlines()
    entries: dict[str, str] = {"Summary": lines[0] if lines else ""}
    key = ""
    for line in lines[1:]:
        word, _, rest = line.partition(" ")
        if word in ("Formula", "Paper", "Shapes", "Cost", "Differs"):
            key, entries[word] = word, rest.strip()
        elif key and line.startswith(" "):
            entries[key] += "\n" + line.strip()
    return entries
