"""The names that hold for every model: input, stem, stage1 ... stageN, blocks, pool, skip, bottleneck, output.

Each is found by what flows through the model on the example, and stands for one site or several.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from torch import Tensor, nn

from foveate.insert.blocks import find_blocks
from foveate.insert.holder import first_tensor
from foveate.insert.layout import Layout
from foveate.insert.maps import Maps
from foveate.insert.probe import Call, Probe

_POOLING = re.compile(r"aspp$|psp|ppm|spp|pyramid", re.IGNORECASE)


@dataclass(frozen=True)
class Place:
    """Where something flows: out of a module, or into it.

    Args:
        path: The module.
        where: ``after`` for its output, ``before`` for its input.
        layout: How the map lies there.
        role: ``map`` for a map, ``pool`` for the vector that a map is pooled to, ``scores`` for logits.
        argument: For ``before``: the name of the argument that holds the map; empty for the first.
        source: For ``pool`` and ``scores``: where the map before pooling flows, as (path, where).
        classes: For ``scores``: how many.
    """

    path: str
    where: str
    layout: Layout
    role: str = "map"
    argument: str = ""
    source: tuple[str, str] | None = None
    classes: int = 0


@dataclass
class Aliases:
    """Finds the places of every alias of one model.

    Args:
        notes: What the probe noted.
        maps: The layouts of what flows.
        unread: Paths of blocks behind which no later layer reads the positions.
    """

    notes: Probe
    maps: Maps
    unread: frozenset[str] = frozenset()
    blocks: list[Call] = field(init=False)

    def __post_init__(self) -> None:
        self.blocks = [b for b in find_blocks(self.notes, self.maps) if b.path not in self.unread]

    def all(self) -> dict[str, list[Place]]:
        """Return every alias that this model has, with its places."""
        found: dict[str, list[Place]] = {"input": self._input(), "stem": self._stem()}
        for number, stage in enumerate(self.stages(), start=1):
            found[f"stage{number}"] = [self._behind(stage)]
        found["blocks"] = [self._behind(block) for block in self.blocks if self._once(block)]
        found["pool"] = self._pool()
        found["skip"] = self._skip()
        found["bottleneck"] = self._bottleneck()
        found["output"] = self._output()
        return {alias: places for alias, places in found.items() if places}

    # --- input and stem ---------------------------------------------------------------------------------------

    def _input(self) -> list[Place]:
        """Return the innermost module through which alone the image enters."""
        image = self._first_image()
        if image is None:
            return []
        inside = image
        while True:
            key = inside.inputs[0][1]
            takers = [c for c in self._children(inside) if any(k == key for _, k, _ in c.inputs)]
            if len(takers) != 1 or takers[0].inputs[0][1] != key or not self._once(takers[0]):
                break
            inside = takers[0]
        layout = self.maps.input(inside)
        return [Place(inside.path, "before", layout)] if layout is not None else []

    def _first_image(self) -> Call | None:
        """Return the outermost module that takes a batch of images, first of all arguments."""
        for call in self.notes.calls.values():
            if call.inputs and call.inputs[0][2].ndim == 4:
                return call
        return None

    def _stem(self) -> list[Place]:
        """Return the last map before the first block, or what the first layer makes."""
        layers = [c for c in self._trunk() if self._map(c)]
        if self.blocks:
            layers = [c for c in layers if c.ended < self.blocks[0].started]
            layers = sorted(layers, key=lambda c: c.ended)[-1:]
        return [self._behind(self._outer(c)) for c in layers[:1]]

    # --- stages -----------------------------------------------------------------------------------------------

    def stages(self) -> list[Call]:
        """Return the module at the end of each stage: blocks at one resolution, down to the lowest."""
        steps = self.blocks or [c for c in self._trunk() if self._is_leaf(c)]
        groups: list[list[Call]] = []
        for step in (s for s in steps if self._map(s)):
            size = self._size(step)
            if groups and size > self._size(groups[-1][-1]):
                break  # a decoder begins
            if not groups or size < self._size(groups[-1][-1]) or self._widens(groups[-1][-1], step):
                groups.append([])
            groups[-1].append(step)
        return [self._end(group) for group in groups]

    def _widens(self, last: Call, step: Call) -> bool:
        """Return whether a new stage begins without a change of resolution, as in networks with dilation."""
        if not self.blocks or last.parent == step.parent:
            return False
        before, now = self.maps.output(last), self.maps.output(step)
        return before is not None and now is not None and now.channels >= 2 * before.channels

    def _end(self, group: list[Call]) -> Call:
        """Return the outermost module that holds blocks of this stage alone and ends with its last map."""
        end = group[-1]
        others = [b for b in self.blocks if b not in group]
        for around in self.notes.ancestors(end.path):
            if any(around.holds(other) for other in others) or not self._same_map(around, end):
                break
            if not self._once(around):
                break
            end = around
        return end

    def _same_map(self, around: Call, inside: Call) -> bool:
        outer, inner = self.maps.output(around), self.maps.output(inside)
        return outer == inner and outer is not None

    def _size(self, call: Call) -> int:
        layout = self.maps.output(call)
        return 0 if layout is None else layout.height * layout.width

    # --- pool -------------------------------------------------------------------------------------------------

    def _pool(self) -> list[Place]:
        """Return the map before global pooling and the vector behind it, of a classifier."""
        if not self._classifies():
            return []
        module = self._pooling()
        if module is not None:
            layout = self.maps.input(module)
            if layout is None:
                return []
            source = (module.path, "before")
            return [
                Place(module.path, "before", layout),
                Place(module.path, "after", layout, role="pool", source=source),
            ]
        return self._pool_by_function()

    def _pooling(self) -> Call | None:
        """Return the module that turns the last map into one vector."""
        found = [c for c in self._trunk() if c.path and self._pools(c)]
        inner = [c for c in found if not any(c.holds(other) for other in found)]
        return inner[-1] if inner else None

    def _pools(self, call: Call) -> bool:
        layout = self.maps.input(call)
        if layout is None or layout.kind == "tokens" or call.output is None or not self._once(call):
            return False
        shape = tuple(call.output.shape)
        vector = shape == (self.maps.batch, layout.channels) or (
            len(shape) == 4 and sum(n != 1 for n in shape[1:]) <= 1 and layout.channels in shape[1:]
        )
        shrinks = layout.height * layout.width > 1
        return vector and (shrinks or "pool" in type(call.module).__name__.lower())

    def _pool_by_function(self) -> list[Place]:
        """Return the last map that a module makes, and the linear layer that takes the vector made of it."""
        last = self._last_map()
        if last is None:
            return []
        layout = self.maps.output(last)
        taker = next(
            (c for c in self._trunk() if c.started > last.ended and isinstance(c.module, nn.Linear)), None
        )
        if layout is None:
            return []
        places = [Place(last.path, "after", layout)] if layout.kind != "tokens" else []
        if (
            taker is not None
            and taker.inputs[0][2].shape[1:] == (layout.channels,)
            and layout.kind != "tokens"
        ):
            places.append(Place(taker.path, "before", layout, role="pool", source=(last.path, "after")))
        return places

    def _last_map(self) -> Call | None:
        """Return the outermost call that makes the last map of the trunk."""
        made = [c for c in self._trunk() if self._map(c) and self._size(c) > 0]
        if not made:
            return None
        return self._outer(max(made, key=lambda c: (c.ended, -c.started)))

    # --- skip, bottleneck, output -----------------------------------------------------------------------------

    def _skip(self) -> list[Place]:
        """Return the second map that modules take, where an earlier and finer one meets a later one."""
        places = []
        for call in self.notes.calls.values():
            if (
                not call.path
                or not self._once(call)
                or len(call.inputs) < 2
                or any(b.holds(call) for b in self.blocks)
            ):
                continue
            (_, _, first), (name, key, second) = call.inputs[:2]
            layout = self.maps.of(second, key, call.started)
            if first.ndim == second.ndim == 4 and layout is not None and first.shape[2:] != second.shape[2:]:
                places.append(Place(call.path, "before", layout, argument=name))
        return places

    def _bottleneck(self) -> list[Place]:
        """Return the spatial pooling layer of a dense model, or its deepest map."""
        if not self._is_dense():
            return []
        named = [
            c for c in self.notes.calls.values() if _POOLING.search(type(c.module).__name__) and self._map(c)
        ]
        named = [c for c in named if not any(other.holds(c) for other in named)]
        stages = self.stages()
        deepest = named[-1] if named else stages[-1] if stages else None
        return [self._behind(deepest)] if deepest is not None else []

    def _output(self) -> list[Place]:
        """Return the scores: of every class for a classifier, of every class and position for a dense model."""
        if self._classifies():
            return self._scores()
        if not self._is_dense():
            return []
        result = self._result()
        made = [c for c in self._trunk() if c.path and self._map(c) and self._once(c)]
        exact = [c for c in made if id(c.output) == id(result)]
        if not exact and result is not None:
            exact = [c for c in made if c.output is not None and c.output.shape[1] == result.shape[1]]
            exact = [c for c in exact if not self.blocks or c.started > self.blocks[-1].ended]
        exact = [c for c in exact if not any(other.holds(c) for other in exact)]
        return [self._behind(exact[0])] if exact else []

    def _scores(self) -> list[Place]:
        """Return the module that makes the logits, with the map before pooling as its source."""
        result = self._result()
        made = [c for c in self._trunk() if c.path and id(c.output) == id(result) and self._once(c)]
        if not made:
            made = [c for c in self._trunk() if isinstance(c.module, nn.Linear) and self._once(c)][-1:]
        pool = [p for p in self._pool() if p.role == "map"]
        last = self._last_map()
        if pool:
            source, layout = (pool[0].path, pool[0].where), pool[0].layout
        elif last is not None and (found := self.maps.output(last)) is not None:
            source, layout = (last.path, "after"), found
        else:
            return []
        if not made or result is None:
            return []
        head = min(made, key=lambda c: c.started)
        return [Place(head.path, "after", layout, role="scores", source=source, classes=result.shape[1])]

    # --- what the model is ------------------------------------------------------------------------------------

    def _result(self) -> Tensor | None:
        return first_tensor(self.notes.result)

    def _classifies(self) -> bool:
        result = self._result()
        return result is not None and tuple(result.shape[:1]) == (self.maps.batch,) and result.ndim == 2

    def _is_dense(self) -> bool:
        result = self._result()
        return result is not None and result.ndim == 4 and result.shape[0] == self.maps.batch

    # --- calls ------------------------------------------------------------------------------------------------

    def _trunk(self) -> list[Call]:
        """Return the calls that are not inside of a block, in order."""
        return [c for c in self.notes.calls.values() if not any(block.holds(c) for block in self.blocks)]

    def _children(self, call: Call) -> list[Call]:
        """Return the calls right inside of ``call``."""
        inside = [c for c in self.notes.calls.values() if call.holds(c)]
        return [c for c in inside if not any(other.holds(c) for other in inside)]

    def _is_leaf(self, call: Call) -> bool:
        return not any(call.holds(other) for other in self.notes.calls.values())

    def _outer(self, call: Call) -> Call:
        """Return the outermost module that returns the very tensor that ``call`` made and holds no block."""
        for around in self.notes.ancestors(call.path):
            if around.output_key != call.output_key or any(around.holds(b) for b in self.blocks):
                break
            if self._once(around):
                call = around
        return call

    def _once(self, call: Call) -> bool:
        return self.notes.counts[call.path] == 1

    def _map(self, call: Call) -> bool:
        output = call.output
        return (
            bool(call.path)
            and output is not None
            and output.shape[0] == self.maps.batch
            and (self.maps.output(call) is not None)
        )

    def _behind(self, call: Call) -> Place:
        layout = self.maps.output(call)
        if layout is None:
            raise RuntimeError(f"{call.path} makes no map")
        return Place(call.path, "after", layout)
