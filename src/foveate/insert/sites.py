"""Where attention can sit in a model: run the example, list the sites, find those that a pattern names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from foveate.errors import SiteError, nearest
from foveate.insert.find.aliases import ABSENT, find_aliases
from foveate.insert.find.flow import Deeper, Flow, Place
from foveate.insert.find.maps import Maps
from foveate.insert.find.probe import Probe, probe
from foveate.insert.find.unused_tokens import find_unread
from foveate.insert.layout import Kind, Layout
from foveate.insert.patterns import matches


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
        deeper: For a skip connection: the deeper map that it meets, which a gate asks.
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
        """Channels of the deeper map that a gate asks here; 0 where there is none."""
        return self.deeper.layout.channels if self.deeper is not None else 0

    def __str__(self) -> str:
        named = f" ({', '.join(self.aliases)})" if self.aliases else ""
        channels = f"{self.channels} of {self.within}" if self.within else str(self.channels)
        size = f"{channels} channels, {'x'.join(map(str, self.size))}"
        place = f"{'before ' if self.where == 'before' else ''}{self.path or 'the model'}"
        return f"{place}{named}: {self.kind}, {size}"


def sites(model: nn.Module, example: object) -> list[Site]:
    """List where attention can sit, in the order in which the example flows through the model.

    Args:
        model: Any module; it is run once in eval mode and left as it was found.
        example: What the model takes: a tensor (B, 3, H, W), signals (B, C, L), volumes (B, C, D, H, W), a
            tuple of arguments or a dict of keyword arguments.

    Raises:
        SiteError: The model does not run on the example.

    Example:
        >>> import torch
        >>> model = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(128, 2))
        >>> [str(site) for site in sites(model, torch.rand(1, 3, 9, 9))][1:3]
        ['0 (stem): map, 8 channels, 4x4', '1 (stage1, features, pool): map, 8 channels, 4x4']
    """
    return Survey(model, example).sites


class Survey:
    """One look at a model: its sites, and what is known about modules that are none.

    Args:
        model: The model.
        example: What it takes.

    Attributes:
        places: Every alias, with its places.
        sites: Where attention can sit.
        left_out: The paths of what works as blocks do and is none of ``blocks``, and why.
        odd_ones: Those of them that are of the same class as blocks.
    """

    def __init__(self, model: nn.Module, example: object) -> None:
        self.model_name = type(model).__name__
        self.notes: Probe = probe(model, example)
        flow = Flow(self.notes)
        self.unread = find_unread(model, example, flow)
        if self.unread:
            flow = Flow(self.notes, self.unread)
        self.places = find_aliases(flow)
        self.left_out = self._left_out(flow)
        self.maps = flow.maps
        self.sites = self._list(flow.maps)
        self.paths = [path for path, _ in model.named_modules() if path]

    def _left_out(self, flow: Flow) -> dict[str, str]:
        """Return the blocks that ``blocks`` does not name, and why."""
        unread = "nothing reads its positions: only the class token goes on"
        hidden = flow.hidden
        found = {call.path: flow.maps.why_no_output(call) or "it returns several maps" for call in hidden}
        alike = {type(block.module) for block in flow.blocks}
        self.odd_ones = {c.path: found[c.path] for c in hidden if type(c.module) in alike}
        return dict.fromkeys(sorted(self.unread), unread) | found

    def _list(self, maps: Maps) -> list[Site]:
        """Return the aliased places and, besides, every module that makes a map and runs once."""
        places: dict[tuple[object, ...], tuple[Place, list[str]]] = {}
        for alias, found in self.places.items():
            for place in found:
                places.setdefault(_key(place), (place, []))[1].append(alias)
        for call in self.notes.calls.values():
            layout = maps.output(call)
            if (
                call.path
                and layout is not None
                and self.notes.once(call.path)
                and call.path not in self.unread
            ):
                place = Place(call.path, "after", layout)
                places.setdefault(_key(place), (place, []))
        listed = [_site(place, aliases) for place, aliases in places.values()]
        return sorted(listed, key=self._order)

    def _order(self, site: Site) -> tuple[int, str]:
        call = self.notes.calls[site.path]
        return (call.started if site.where == "before" else call.ended), site.kind

    def find(self, pattern: str, where: str = "after") -> list[Site]:
        """Return the sites that an alias, a path or a glob names, whatever their kind.

        With ``where="before"``, a path or a glob names what flows into its modules.

        Raises:
            SiteError: None does; the message names the nearest, or says why the module is no site.
        """
        if pattern in self.places:
            return [site for site in self.sites if pattern in site.aliases]
        paths = [path for path in self.paths if matches(pattern, path)]
        if pattern in ABSENT and not any(path in self.notes.counts for path in paths):
            paths = []  # a list of modules may be called "blocks"
        if not paths:
            names = [*self.places, *(site.path for site in self.sites)]
            why = ABSENT.get(pattern)
            if pattern == "blocks" and self.left_out:
                why = "What works as residual blocks do cannot be used: " + in_words(self.left_out)
            hint = f"{why}." if why else nearest(pattern, dict.fromkeys(names))
            raise SiteError(
                f'no site of {self.model_name} matches "{pattern}". {hint} '
                f"Aliases here: {', '.join(self.places)}."
            )
        for path in paths:
            self._check_runs(path, pattern, where)
        if where == "before":
            return [site for site in map(self.entry, paths) if site is not None]
        return [site for site in self.sites if site.path in paths and site.where == "after"]

    def why_not(self, path: str) -> str:
        """Say why no map comes out of a module that ran; empty if one does."""
        return self.maps.why_no_output(self.notes.calls[path]) if path in self.notes.calls else ""

    def entry(self, path: str) -> Site | None:
        """Return the site of the map that flows into a module, None if no map does."""
        layout = self.maps.input(self.notes.calls[path])
        return None if layout is None else _site(Place(path, "before", layout), [])

    def _check_runs(self, path: str, pattern: str, where: str) -> None:
        count = self.notes.counts.get(path, 0)
        if count > 1 and not self.notes.once(path):
            raise SiteError(
                f'"{pattern}" names {path}, which runs {count} times in one pass: attention there would be '
                f"shared by {count} places. Name a module that runs once. {self._near(path)}"
            )
        if count == 0:
            raise SiteError(f'"{pattern}" names {path}, which did not run on the example. {self._near(path)}')
        if path in self.unread and where != "before":
            raise SiteError(
                f'"{pattern}" names {path}, behind which nothing reads the positions: only the class token '
                f"goes on. Put it in front: before:{path}"
            )

    def _near(self, path: str) -> str:
        return nearest(path, dict.fromkeys(site.path for site in self.sites))


def in_words(left_out: Mapping[str, str], most: int = 3) -> str:
    """Return what was left out and why, in one sentence."""
    said = [f"{path}: {why}" for path, why in list(left_out.items())[:most]]
    more = len(left_out) - len(said)
    return "; ".join(said) + (f"; and {more} more" if more else "")


def _key(place: Place) -> tuple[object, ...]:
    """Return what tells one place from all others."""
    source = place.source if place.role == "map" else None
    return (
        place.path,
        place.where,
        place.role,
        place.argument,
        place.layout.first,
        place.layout.within,
        source,
    )


def _site(place: Place, aliases: list[str]) -> Site:
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
