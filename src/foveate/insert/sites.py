"""Where attention can sit in a model: what a site is, and which sites a pattern names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import get_args

from torch import Tensor

from foveate.errors import SiteError, nearest
from foveate.insert.find.flow import Deeper, Maps, Place
from foveate.insert.find.recorded_run import Run
from foveate.insert.layout import Kind, Layout
from foveate.insert.patterns import matches

MAPS = get_args(Kind)
KINDS = {"refine": MAPS, "gate": MAPS, "pool": ("pool",), "label": ("scores",)}  # what an interface takes


@dataclass(frozen=True)
class Site:
    """A place where a mechanism can sit.

    Args:
        path: The module's path, as a spec names it; ``""`` for the model itself.
        aliases: The names that hold for every model, such as ``stage4``.
        kind: What flows there: ``map`` (B, C, H, W), ``grid`` (B, H, W, C), ``tokens`` (B, N, C), ``flat``
            (B, C, N), ``sequence`` (N, B, C); ``pool`` where a map becomes one vector; ``scores`` where a
            classifier's logits are made.
        channels: C of the map; for ``pool`` and ``scores`` of the map before pooling.
        height: Its rows on the example; 1 for a signal.
        width: Its columns on the example.
        where: ``after`` for what the module returns, ``before`` for what it takes.
        layout: How the map lies: ``map``, ``grid``, ``tokens``, ``flat`` or ``sequence``.
        prefix: Class and register tokens before the positions; they are left alone.
        suffix: Tokens behind the positions; they are left alone.
        parts: For positions that do not lie row by row, such as window by window: the sizes of their parts.
        order: Which of ``parts`` comes first, second ... row by row.
        argument: The argument that holds the map, where it is not the first.
        source: For ``pool`` and ``scores``: the module at which the map before pooling flows, and on
            which side. For a map that is summed here with a deeper one: where it flows before that.
        classes: For ``scores``: the number of classes.
        first: For a map that is joined here with a deeper one: the channel at which it begins.
        within: Channels of all the maps that are joined here; 0 for a map that is alone.
        deeper: For a skip connection: the deeper map that it meets, which gates take as gating map.
        depth: Slices of a volume, or frames of a video, on the example; else 1.
        dims: Axes of the positions: 1 for a signal (B, C, L), 2 for a map, 3 for a volume (B, C, D, H, W).
    """

    path: str
    aliases: tuple[str, ...]
    kind: str
    channels: int
    height: int
    width: int
    where: str = "after"
    layout: Kind = "map"
    prefix: int = 0
    suffix: int = 0
    parts: tuple[int, ...] = ()
    order: tuple[int, ...] = ()
    argument: str = ""
    source: tuple[str, str] | None = None
    classes: int = 0
    first: int = 0
    within: int = 0
    deeper: Deeper | None = None
    depth: int = 1
    dims: int = 2

    @property
    def map(self) -> Layout:
        """How the map that a mechanism receives here lies in its tensor."""
        place = (self.channels, self.height, self.width, self.prefix, self.first, self.within)
        order = (self.suffix, self.parts, self.order)
        return Layout(self.layout, *place, *order, self.depth, self.dims)

    @property
    def size(self) -> tuple[int, ...]:
        """The positions along each axis on the example: (L,), (H, W) or (D, H, W)."""
        return self.map.size

    @property
    def gating(self) -> int:
        """Channels of the gating map that a gate takes here; 0 where there is none."""
        return self.deeper.layout.channels if self.deeper is not None else 0

    def suits(self, interface: str) -> bool:
        """Return whether what flows here is what mechanisms of an interface take."""
        kinds = KINDS.get(interface, ())
        return self.kind in kinds and (interface != "gate" or self.deeper is not None)

    def __str__(self) -> str:
        named = f" ({', '.join(self.aliases)})" if self.aliases else ""
        channels = f"{self.channels} of {self.within}" if self.within else str(self.channels)
        size = f"{channels} channels, {'x'.join(map(str, self.size))}"
        place = f"{'before ' if self.where == 'before' else ''}{self.path or 'the model'}"
        return f"{place}{named}: {self.kind}, {size}"


# Why a model may lack a name that most models have.
ABSENT = {
    "skip": "No map of an encoder meets one that was made through a deeper one",
    "stem": "The first block takes the images themselves",
    "pool": "Only a classifier pools its map to one vector",
    "bottleneck": "Only a model that returns a map of scores has a bottleneck",
    "blocks": "No residual or transformer block was found",
}


@dataclass(frozen=True)
class Survey:
    """The sites of one model, and what is known about modules that are not sites.

    Args:
        model_name: The class of the model.
        paths: Every module but the model itself.
        run: Its run on the example.
        maps: The layouts of the tensors of that run.
        aliases: The names that the model has of those that hold for every model.
        sites: Where attention can sit.
        unused: The paths of blocks behind which nothing reads the positions.
        left_out: The paths of what works as blocks do but is not among ``blocks``, and why.
        left_out_of_class: Those of them that have the class of a block.
    """

    model_name: str
    paths: list[str]
    run: Run
    maps: Maps
    aliases: list[str]
    sites: list[Site]
    unused: frozenset[str]
    left_out: dict[str, str]
    left_out_of_class: dict[str, str]

    def find(self, pattern: str, where: str = "after") -> list[Site]:
        """Return the sites that an alias, a path or a glob names, whatever their kind.

        With ``where="before"``, a path or a glob names what flows into its modules.

        Raises:
            SiteError: No site matches; the message names the nearest, or says why the module is not a site.
        """
        if pattern in self.aliases:
            return [site for site in self.sites if pattern in site.aliases]
        paths = [path for path in self.paths if matches(pattern, path)]
        if pattern in ABSENT and not any(path in self.run.counts for path in paths):
            paths = []  # a list of modules may be called "blocks"
        if not paths:
            names = [*self.aliases, *(site.path for site in self.sites)]
            why = ABSENT.get(pattern)
            if pattern == "blocks" and self.left_out:
                why = "What works as residual blocks do cannot be used: " + reasons_in_words(self.left_out)
            hint = f"{why}." if why else nearest(pattern, dict.fromkeys(names))
            raise SiteError(
                f'no site of {self.model_name} matches "{pattern}". {hint} '
                f"Aliases here: {', '.join(self.aliases)}."
            )
        for path in paths:
            self._check_runs(path, pattern, where)
        if where == "before":
            return [site for site in map(self.entry, paths) if site is not None]
        return [site for site in self.sites if site.path in paths and site.where == "after"]

    def why_not(self, path: str) -> str:
        """Return why no map comes out of a module that ran; empty if one does."""
        return self.maps.why_no_output(self.run.calls[path]) if path in self.run.calls else ""

    def entry(self, path: str) -> Site | None:
        """Return the site of the map that flows into a module, None if no map does."""
        layout = self.maps.input(self.run.calls[path])
        return None if layout is None else site_at(Place(path, "before", layout), [])

    def _check_runs(self, path: str, pattern: str, where: str) -> None:
        count = self.run.counts.get(path, 0)
        if count > 1 and not self.run.runs_once(path):
            raise SiteError(
                f'"{pattern}" names {path}, which runs {count} times in one pass: attention there would be '
                f"shared by {count} places. Name a module that runs once. {self._near(path)}"
            )
        if count == 0:
            raise SiteError(f'"{pattern}" names {path}, which did not run on the example. {self._near(path)}')
        if path in self.unused and where != "before":
            raise SiteError(
                f'"{pattern}" names {path}, behind which nothing reads the positions: only the class token '
                f"goes on. Put it in front: before:{path}"
            )

    def _near(self, path: str) -> str:
        return nearest(path, dict.fromkeys(site.path for site in self.sites))


def reasons_in_words(reasons: Mapping[str, str], most: int = 3) -> str:
    """Return paths, each with its reason, as a part of a sentence; only the first ``most`` of them."""
    said = [f"{path}: {why}" for path, why in list(reasons.items())[:most]]
    more = len(reasons) - len(said)
    return "; ".join(said) + (f"; and {more} more" if more else "")


def site_at(place: Place, aliases: list[str]) -> Site:
    """Return the site at a place."""
    layout = place.layout
    return Site(
        path=place.path,
        aliases=tuple(aliases),
        kind=layout.kind if place.role == "map" else place.role,
        channels=layout.channels,
        height=layout.height,
        width=layout.width,
        where=place.where,
        layout=layout.kind,
        prefix=layout.prefix,
        suffix=layout.suffix,
        parts=layout.parts,
        order=layout.order,
        argument=place.argument,
        source=place.source,
        classes=place.classes,
        first=layout.first,
        within=layout.within,
        deeper=place.deeper,
        depth=layout.depth,
        dims=layout.dims,
    )


def example_shape(example: object) -> object:
    """Return the shapes of an example in its own nesting, as JSON can hold them."""
    if isinstance(example, Tensor):
        return list(example.shape)
    if isinstance(example, Mapping):
        return {str(key): example_shape(value) for key, value in example.items()}
    if isinstance(example, list | tuple):
        return [example_shape(value) for value in example]
    return repr(example)
