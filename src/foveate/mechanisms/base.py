"""What every mechanism is: its facets, its cost, and the tap that shows its weights.

A mechanism takes the number of input ``channels`` first and every option by keyword. Its ``forward`` is a
pure function of its input and its parameters. It says what it is (``facets``), what it costs (``cost``), and
lets its weights flow through a named child, ``self.map = MapTap(...)``, so that they can be seen.
"""

from __future__ import annotations

import functools
import inspect
import math
from abc import ABCMeta, abstractmethod
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal, get_args

import torch
from torch import Tensor, nn

from foveate.errors import FoveateError, OptionError, ShapeError
from foveate.inputs import fault
from foveate.mechanisms.precision import widen
from foveate.mechanisms.ranks import taken
from foveate.mechanisms.switch import Switch
from foveate.options import checked, sensible, whole
from foveate.registry import Registry
from foveate.typed import quoted

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


RECORD = Switch("record")  # on for the taps that somebody records in this context


class MapTap(nn.Identity):
    """An identity that the weights of a mechanism flow through, so that a forward hook can read them.

    Args:
        axes: The axes of the weights, by einops' habit: ``b`` batch, ``c`` channels, ``h`` ``w`` rows and
            columns, ``d`` slices of a volume, ``n`` positions (h*w), ``m`` the positions, channels or slots
            looked at, ``k`` heads or groups, ``s`` scales, branches or layers, ``t`` queries (steps), ``q``
            classes, ``p`` places in a kernel, ``1`` for one.
        sums: Axes over which the weights sum to one, such as ``"m"`` or ``"h w"``; empty for gates.
        low: The least value that a weight can take.
        high: The greatest value that a weight can take. Gates and softmaxes stay in [0, 1]; weights that
            nothing normalises, as in involution, go from ``-inf`` to ``inf``.

    Attributes:
        recording: True only where ``fv.record`` listens, which is in the block's own thread. A mechanism
            whose fast path never forms its weights forms them when this is True. Setting it is for code that
            hooks the tap itself; it holds in all threads.
    """

    _always = False

    def __init__(self, axes: str, *, sums: str = "", low: float = 0.0, high: float = 1.0) -> None:
        super().__init__()
        self.axes, self.sums, self.low, self.high = axes, sums, low, high

    @property
    def recording(self) -> bool:
        """Whether the weights are to be formed and sent through this tap."""
        return self._always or bool(RECORD.blocks(self))

    @recording.setter
    def recording(self, value: bool) -> None:
        self._always = value

    def _replicate_for_data_parallel(self) -> Any:
        replica = super()._replicate_for_data_parallel()
        RECORD.carry(self, replica)
        return replica

    def extra_repr(self) -> str:
        """Return the axes for ``print(model)``."""
        return f'"{self.axes}"' + (f', sums to 1 over "{self.sums}"' if self.sums else "")


class BatchNorm(nn.BatchNorm2d):
    """Batch normalisation that also trains on a single value per channel, and on a single image.

    Of signals, maps and volumes.

    One value has no variance, and ``nn.BatchNorm2d`` raises: a last batch of one image with a 1 x 1 map ends
    the run. There the running statistics stand in, as in eval; they are not updated.

    In a model of half precision it takes float32 too, and returns it: what was summed up there, such as
    covariances, may exceed what half precision holds.

    For one image PyTorch's CPU kernel misreads a gradient that comes laid out as (B, H*W, C), as attention
    over positions returns it, beside a map that is not, and gives a wrong one without a word. So there the
    gradient gets the layout of the map.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Normalise (B, C, ...) each channel by the batch, or by the running statistics for one value."""
        alone = self.training and input.shape[0] * math.prod(input.shape[2:]) == 1
        if alone or (input.dtype == torch.float32 and widen(self.weight) is not self.weight):
            return self._plainly(input, training=self.training and not alone)
        output = super().forward(input)
        if not torch.compiler.is_compiling() and output.requires_grad and len(input) == 1:
            output.register_hook(functools.partial(_packed, layout_of(output)))
        return output

    def _check_input_dim(self, input: Tensor) -> None:
        """Take signals and volumes too."""
        if not 3 <= input.ndim <= 5:
            super()._check_input_dim(input)

    def _plainly(self, input: Tensor, *, training: bool) -> Tensor:
        """Normalise in the type of ``input``, float32 in a model of half precision too."""
        mean, variance = (statistic.to(input.dtype) for statistic in (self.running_mean, self.running_var))  # type: ignore[union-attr]
        weight, bias = self.weight.to(input.dtype), self.bias.to(input.dtype)
        rate = 0.0 if self.momentum is None else self.momentum
        normed = nn.functional.batch_norm(input, mean, variance, weight, bias, training, rate, self.eps)
        if training:
            self.running_mean.copy_(mean)  # type: ignore[union-attr]
            self.running_var.copy_(variance)  # type: ignore[union-attr]
            self.num_batches_tracked.add_(1)  # type: ignore[union-attr]
        return normed


def layout_of(x: Tensor) -> torch.memory_format:
    """Return the memory format of a signal, map or volume."""
    last = {4: torch.channels_last, 5: torch.channels_last_3d}.get(x.ndim)
    if last is None or x.is_contiguous() or not x.is_contiguous(memory_format=last):
        return torch.contiguous_format
    return last


def _packed(layout: torch.memory_format, grad: Tensor | None) -> Tensor | None:
    """Lay a gradient out; there is none where nothing that follows is asked for."""
    return grad if grad is None else grad.contiguous(memory_format=layout)


class Placed(ABCMeta):
    """Lets every mechanism be built with ``device=`` and ``dtype=``, as torch's own layers can.

    One place instead of two arguments in every layer of every file. The parameters are made on the device,
    not copied to it: ``device="meta"`` allocates nothing.
    """

    def __call__(
        cls,
        *args: Any,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        **options: Any,
    ) -> Any:
        """Build the mechanism on ``device`` and convert it to ``dtype``.

        Raises:
            OptionError: A value is not of the type that the constructor states, there is no such device, or
                ``dtype`` is not a floating-point type.
        """
        if dtype is not None and not (isinstance(dtype, torch.dtype) and dtype.is_floating_point):
            raise OptionError(f"dtype: got {dtype!r}, expected a floating-point type, such as torch.float16")
        names = list(inspect.signature(cls.__init__).parameters)[1 : 1 + len(args)]  # type: ignore[misc]
        called = _called(cls)
        twice = sorted(set(names) & set(options))
        if twice:
            raise OptionError(f"{called}: {twice[0]} is given twice")
        given = checked(called, cls, {**dict(zip(names, args, strict=False)), **options})
        sensible(called, given)
        rest, values = args[len(names) :], [given.pop(name) for name in names]
        try:
            with nullcontext() if device is None else _device(device):
                module = super().__call__(*values, *rest, **given)
            return module if dtype is None else module.to(dtype)
        except FoveateError:
            raise
        except Exception as error:  # more memory than there is, a device that is not there
            written = ", ".join(
                f"{name}={value!r}" for name, value in (*zip(names, values, strict=True), *given.items())
            )
            text = f"{called} cannot be built with {written}: {error}"
            raise OptionError(text) from error

    @property
    def __signature__(cls) -> inspect.Signature:
        """The constructor's own arguments, then device and dtype."""
        own = list(inspect.signature(cls.__init__).parameters.values())[1:]  # type: ignore[misc]
        keyword = inspect.Parameter.KEYWORD_ONLY
        placed = [inspect.Parameter(n, keyword, default=None) for n in PLACED]
        return inspect.Signature(sorted([*own, *placed], key=lambda parameter: parameter.kind))


def _device(device: torch.device | str) -> torch.device:
    try:
        return torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise OptionError(
            f'device: got {device!r}, expected a device of PyTorch, such as "cpu", "cuda:0" or "meta"'
        ) from error


PLACED = ("device", "dtype")


def _called(cls: type[Any]) -> str:
    """Return the registry's name of a mechanism, or the class's."""
    return mechanisms.name_of(cls, cls.__name__)


class Mechanism(nn.Module, metaclass=Placed):
    """The root of the seven interfaces; see the module's docstring. Each takes ``device`` and ``dtype`` too.

    Class attributes:
        interface: One of the seven, in lower case; set by the interface.
        facets: The answers to the four questions.
        dims: How many axes of positions the map may have: 1 for signals (B, C, L), 2 for maps (B, C, H, W), 3
            for volumes (B, C, D, H, W). One with the option ``dimensions`` is built for one of them. Empty
            where no map comes in.
        variants: For each option another value than the default; the contract tests that it has an effect.
        gate: The dotted name of a parameter of its own that starts at zero and so makes the fresh mechanism
            return its input, such as ``"gamma"``; None for a mechanism that does not start as the identity.
    """

    interface: ClassVar[str]
    facets: ClassVar[Facets]
    dims: tuple[int, ...] = (2,)
    dimensions: int = 2
    variants: ClassVar[Mapping[str, object]] = {}
    gate: ClassVar[str | None] = None
    channels: int

    @abstractmethod
    def cost(self, height: int, width: int) -> Cost:
        """Return the cost for one (C, height, width) map, by the closed form in the file's header.

        A mechanism that takes signals and volumes is asked with (length) or (depth, height, width) too.
        """

    def _check_tensor(self, x: Tensor, expected: str, open_axes: int = 1) -> None:
        """Raise a ShapeError unless ``x`` can be computed with; its first axes may be empty."""
        name = type(self).__name__
        if not hasattr(x, "is_floating_point"):  # None, or an array of NumPy
            raise ShapeError(f"{name}: got {quoted(x)}, expected {expected}, a torch.Tensor.")
        abstract = not x.is_meta or all(p.is_meta for p in self.parameters())
        if why := fault(x, abstract, open_axes):
            raise ShapeError(f"{name}: got a tensor of shape {tuple(x.shape)}{why}, expected {expected}.")

    def _check(self, x: Tensor) -> None:
        """Raise a ShapeError unless ``x`` is a map with the channels and the axes this was built for."""
        if torch.jit.is_tracing():  # type: ignore[attr-defined]
            return  # a trace knows no size
        name = type(self).__name__
        ranks = (self.dimensions,) if "dimensions" in vars(self) else self.dims
        self._check_tensor(x, taken(ranks, self.channels))
        if x.ndim - 2 not in ranks:
            raise ShapeError(f"{name}: got a tensor of shape {tuple(x.shape)}, {self._expected(x.ndim - 2)}")
        self._check_tokens(x)
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

    def _expected(self, rank: int) -> str:
        """Say what is taken instead of a tensor with ``rank`` axes behind batch and channels."""
        if "dimensions" not in options_of(type(self)):
            tokens = " For tokens (B, N, C) insert it with fv.insert, which lays them out." * (rank == 1)
            return f"expected {taken(self.dims, self.channels)}.{tokens}"
        built = f"expected {taken((self.dimensions,), self.channels)}, for which it was built"
        ways = " or ".join(f"dimensions={n}" for n in self.dims if n != self.dimensions)
        return f"{built}. Build it with {f'dimensions={rank}' if rank in self.dims else ways} for others."

    def _check_tokens(self, x: Tensor) -> None:
        """Raise a ShapeError where tokens (B, N, C) come for a signal (B, C, L)."""
        if x.ndim == 3 and x.shape[1] != self.channels == x.shape[2]:
            raise ShapeError(
                f"{type(self).__name__}: got {tuple(x.shape)}, which are tokens (B, N, C) if C is "
                f"{self.channels}, expected a signal (B, {self.channels}, L). Insert it with fv.insert, "
                "which lays tokens out, or give x.transpose(1, 2)."
            )


mechanisms: Registry[type[Mechanism]] = Registry("mechanism", see="foveate list")


def build(name: str, channels: int | tuple[int, ...], **options: object) -> Mechanism:
    """Build a mechanism from its name; a misspelt option is answered with the options there are.

    Raises:
        UnknownNameError: No mechanism has this name.
        OptionError: An option does not exist, or is missing.
    """
    cls = mechanisms[name]
    known = options_of(cls)
    for option in options:
        if option not in known and option not in PLACED:
            raise OptionError(f'{name} has no option "{option}". Its options: {", ".join(known) or "none"}')
    missing = [o for o, default in known.items() if default is inspect.Parameter.empty and o not in options]
    if missing:
        raise OptionError(f"{name} needs {', '.join(missing)}=...")
    for width in channels if isinstance(channels, tuple) and cls.interface == "fuse" else (channels,):
        whole("channels", width)  # type: ignore[arg-type]
    return cls(channels, **options)


def options_of(cls: type[Mechanism]) -> dict[str, object]:
    """Return the options of a mechanism and their defaults (``inspect.Parameter.empty`` for none)."""
    parameters = inspect.signature(cls).parameters
    return {n: p.default for n, p in parameters.items() if p.kind is p.KEYWORD_ONLY and n not in PLACED}


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
