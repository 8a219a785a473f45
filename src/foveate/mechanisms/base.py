"""What every mechanism is, and the seven interfaces, which decide where it can sit.

A mechanism takes the number of input ``channels`` first and every option by keyword. Its ``forward`` is a
pure function of its input and its parameters. It says what it is (``facets``), what it costs (``cost``), and
lets its weights flow through a named child, ``self.map = MapTap(...)``, so that they can be seen.
"""

from __future__ import annotations

import inspect
from abc import ABCMeta, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any, ClassVar, NamedTuple

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from foveate.errors import FoveateError, OptionError, ShapeError
from foveate.inputs import fault
from foveate.large_pictures import LargePictures, PicturesInMemory
from foveate.mechanisms.facets import Cost, Facets
from foveate.mechanisms.map_tap import MapTap
from foveate.mechanisms.ranks import taken
from foveate.options import checked, sensible, whole
from foveate.registry import Registry
from foveate.typed import quoted


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

        A mechanism that takes signals and volumes is called with (length) or (depth, height, width) too.
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
        """Say what is accepted instead of a tensor with ``rank`` axes after batch and channels."""
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
        """Reduce ``x`` to one vector per image."""


class Gate(Mechanism):
    """A map, weighed by what a coarser map asks for; takes ``channels``, and ``gating``, the coarser map's.

    Attributes:
        out_channels: Channels of the result: ``channels``, unless the paper has another number.
    """

    interface = "gate"
    gating: int
    out_channels: int

    @abstractmethod
    def forward(
        self, x: Float[Tensor, "b c *space"], gating: Float[Tensor, "b g *coarse"]
    ) -> Float[Tensor, "b o *space"]:
        """Weigh parts of ``x`` by the coarser map ``gating``."""

    def _check_gating(self, x: Tensor, gating: Tensor) -> None:
        """Raise a ShapeError unless ``gating`` has the axes of ``x`` and the channels this was built for."""
        self._check_tensor(gating, f"a gating map (B, {self.gating}, h, w)")
        if gating.ndim != x.ndim or gating.shape[1] != self.gating or not gating.is_floating_point():
            expected = taken((x.ndim - 2,), self.gating)
            raise ShapeError(
                f"{type(self).__name__}: got a gating map of shape {tuple(gating.shape)} and {gating.dtype}, "
                f"expected floating point, {expected}. Build it with gating= its channels."
            )


class Fuse(Mechanism):
    """Several maps to one; takes ``channels``, one number or one for each map, and the number of ``maps``.

    The result has the height and width of the first map; the others are resized to it (bilinear, half-pixel
    centres), so maps from different stages can be given as they are, the finest first.

    Attributes:
        out_channels: Channels of the result.
        pooled: True where the result is 1 x 1, whatever the sizes.
    """

    interface = "fuse"
    pooled: ClassVar[bool] = False
    widths: tuple[int, ...]
    out_channels: int

    @abstractmethod
    def forward(self, maps: list[Float[Tensor, "b _ _ _"]]) -> Float[Tensor, "b o h w"]:
        """Weigh ``maps`` against each other and sum them."""

    def _check_maps(self, maps: Sequence[Tensor]) -> None:
        """Raise a ShapeError unless ``maps`` have the number and the widths this was built for."""
        name = type(self).__name__
        if not isinstance(maps, (list, tuple)) or len(maps) != len(self.widths):
            came = f"{len(maps)} maps" if isinstance(maps, (list, tuple)) else f"a {type(maps).__name__}"
            raise ShapeError(f"{name}: got {came}, expected a list of {len(self.widths)} maps (B, C, H, W).")
        for position, (x, width) in enumerate(zip(maps, self.widths, strict=True)):
            self._check_tensor(x, f"map {position} (B, {width}, H, W)")
            if x.ndim != 4 or x.shape[1] != width or not x.is_floating_point():
                raise ShapeError(
                    f"{name}: got {tuple(x.shape)} of {x.dtype} as map {position}, expected floating point "
                    f"(B, {width}, H, W). Build it with the channels that the maps have."
                )


class Read(Mechanism):
    """A query reads a memory; takes ``channels`` of the memory, and ``query``, the query's if they differ."""

    interface = "read"
    dims = ()
    query_channels: int

    def prepare(
        self, memory: Float[Tensor, "b n d"], mask: Bool[Tensor, "b n"] | None = None
    ) -> Float[Tensor, "b n _"] | None:
        """Return the memory's keys: what the scores need of it, whatever the queries.

        A memory that is read step by step is prepared once; each call is then given ``keys=`` these. It takes
        the shapes for granted, and that the memory is zero where it may not be read. None: a read that has
        no such option, which is the default.
        """
        return None

    @abstractmethod
    def forward(
        self,
        query: Float[Tensor, "b t q"],
        memory: Float[Tensor, "b n d"],
        mask: Bool[Tensor, "b n"] | None = None,
    ) -> tuple[Float[Tensor, "b t d"], Float[Tensor, "b t n"]]:
        """Return the context and the weights; ``mask`` is True where the memory may be read.

        Masked entries get a weight of exactly 0; a query that may read nothing gets a context of zeros.
        """

    def _check_reading(self, query: Tensor, memory: Tensor, mask: Tensor | None) -> None:
        """Raise a ShapeError unless the three fit this and each other."""
        name = type(self).__name__
        for what, x, width, axis in (
            ("query", query, self.query_channels, "T"),
            ("memory", memory, self.channels, "N"),
        ):
            self._check_tensor(x, f"a {what} (B, {axis}, {width})", open_axes=2)
            if x.ndim != 3 or x.shape[2] != width or not x.is_floating_point():
                raise ShapeError(
                    f"{name}: got a {what} of shape {tuple(x.shape)} and {x.dtype}, expected floating point "
                    f"(B, {axis}, {width}). A map is laid out as a memory with x.flatten(2).transpose(1, 2)."
                )
        if mask is not None and not isinstance(mask, Tensor):
            raise ShapeError(f"{name}: got {quoted(mask)} as mask, expected booleans (B, N) or None.")
        if mask is not None and (mask.shape != memory.shape[:2] or mask.dtype != torch.bool):
            raise ShapeError(
                f"{name}: got a mask of shape {tuple(mask.shape)} and {mask.dtype}, expected booleans of "
                f"shape {tuple(memory.shape[:2])}, True where the memory may be read."
            )


class Selection(NamedTuple):
    """Patches that were selected from pictures.

    Attributes:
        patches: (B, K, C, size, size).
        places: int64 (B, K, 2), row and column of each patch's top left pixel at full resolution; it may lie
            outside, where a patch is 0.
        weights: (B, K), what the selection gives to each patch, at least float32; see ``Select.pool``.
        attention: (B, i, j), over all places that could have been selected, row by row; None where nothing
            is weighed. It sums to 1.
        features: (B, K, D), of the patches, where the selection had to look at them; else None.
    """

    patches: Float[Tensor, "b k c i j"]
    places: Int64[Tensor, "b k 2"]
    weights: Float[Tensor, "b k"]
    attention: Float[Tensor, "b i j"] | None = None
    features: Float[Tensor, "b k d"] | None = None


class Select(Mechanism):
    """Pictures to K patches of each, K = min(``patches``, how many there are); takes ``channels``.

    Attributes:
        size: Side of the patches in pixels.
        places: What the places flow through, (B, K, 2).
        weights: What the weights flow through, (B, K).
    """

    interface = "select"
    size: int
    places: MapTap
    weights: MapTap

    @abstractmethod
    def select(
        self, pictures: LargePictures | Float[Tensor, "b c h w"], encoder: nn.Module | None = None
    ) -> Selection:
        """Return patches of the pictures, and what they count.

        Args:
            pictures: All at full resolution as a tensor, or pictures that need not be decoded.
            encoder: (N, C, h, w) -> (N, D), for selections that look at the patches themselves; others leave
                it aside.
        """

    @abstractmethod
    def count(self, height: int, width: int) -> int:
        """Return K for pictures of this size."""

    def forward(
        self, pictures: LargePictures | Float[Tensor, "b c h w"]
    ) -> tuple[Float[Tensor, "b k c i j"], Int64[Tensor, "b k 2"], Float[Tensor, "b k"]]:
        """Return patches, places and weights; see ``Selection``."""
        found = self.select(pictures)
        return found.patches, found.places, found.weights

    def pool(self, values: Float[Tensor, "b k d"], weights: Float[Tensor, "b k"]) -> Float[Tensor, "b d"]:
        """Return one vector a picture: the mean of the values of its patches, each counted by its weight.

        Args:
            values: Of each patch.
            weights: Of the same selection, in the same mode: what is drawn in training is more than a mean.
        """
        shares = weights / weights.sum(dim=1, keepdim=True)
        return (shares.to(values.dtype).unsqueeze(2) * values).sum(dim=1)

    def _taken(self, pictures: LargePictures | Tensor) -> LargePictures:
        """Return the pictures if this was built for them.

        Raises:
            ShapeError: They have other channels, or cannot be pictures.
        """
        if isinstance(pictures, LargePictures):
            if pictures.channels != self.channels:
                raise ShapeError(
                    f"{type(self).__name__}: got pictures of {pictures.channels} channels, built for "
                    f"{self.channels}. Build it with channels={pictures.channels}."
                )
            return pictures
        self._check(pictures)
        return PicturesInMemory(pictures)


class Label(Mechanism):
    """A map to one score per class; takes ``channels`` and ``classes``."""

    interface = "label"

    @abstractmethod
    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b q"]:
        """Return logits."""


mechanisms: Registry[type[Mechanism]] = Registry("mechanism", see="foveate list")


def build(name: str, channels: int | tuple[int, ...], **options: object) -> Mechanism:
    """Build a mechanism from its name; the error for a misspelt option lists the valid ones.

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
