"""How coarse a map was that a tensor was made through: what tells a decoder from an encoder.

A map of an encoder was never coarser than it is. A decoder's map is made through the deepest map of the
encoder, and it still tells when it has been scaled up.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable

from foveate.insert.find.maps import Maps
from foveate.insert.find.probe import Call, Probe
from foveate.insert.find.trace import JOIN, PRODUCT, SUM, Node

SUMMARIES = {"mean", "amax", "max", "_adaptive_avg_pool2d", "adaptive_avg_pool2d", "adaptive_max_pool2d"}
_RESIZE = {"convolution", "max_pool2d_with_indices", "avg_pool2d"}


class Lineage:
    """The past of every tensor of one run.

    Args:
        notes: What the probe noted.
        maps: The layouts of its tensors.
        blocks: Residual and transformer blocks; however coarse a map is inside of them, only what they
            return counts.

    Attributes:
        coarsest: For each node the fewest positions of a map that it was made through. Summaries, as in
            global or pyramid pooling, are no maps.
        decoded: For each node whether it was made of maps of which one had been coarser.
    """

    def __init__(self, notes: Probe, maps: Maps, blocks: list[Call]) -> None:
        self.nodes, self.uses = notes.trace.nodes, notes.trace.uses
        self._blocks = sorted(blocks, key=lambda block: block.started)
        self._starts = [block.started for block in self._blocks]
        self._maps, self._sizes = maps, _sizes(notes, maps)
        self._summary: list[bool] = []
        self.coarsest: list[float] = []
        self.decoded: list[bool] = []
        for number, node in enumerate(self.nodes):
            self._summary.append(self._is_summary(node))
            parents = self._parents(number, node)
            self.coarsest.append(self._past(number, node, parents))
            self.decoded.append(
                any(self.decoded[p] for p in parents)
                or (self._block_of(node) is None and bool(self.finer(self.meeting(number))))
            )

    def arguments(self, call: Call) -> dict[str, int]:
        """Return the maps that a module computes with and that come as arguments of their own."""
        names = [name for name, _, _ in call.inputs]
        return {
            name: node
            for name, node in zip(names, call.arrived, strict=True)
            if names.count(name) == 1 and self.nodes[node].is_map and self.is_used(node, call)
        }

    def is_used(self, node: int, call: Call) -> bool:
        """Return whether anything is made of a node inside of ``call``."""
        return any(call.held(self.nodes[use].made) for use in self.uses[node])

    def finer(self, nodes: Iterable[int]) -> list[int]:
        """Return those that were never as coarse as the coarsest of them."""
        past = {node: self.coarsest[node] for node in nodes}
        least = min(past.values(), default=math.inf)
        return [node for node, positions in past.items() if positions > least]

    def behind(self, deepest: set[int]) -> list[bool]:
        """Return for each node whether it is among those given or was made from one of them."""
        found: list[bool] = []
        for number, node in enumerate(self.nodes):
            found.append(number in deepest or any(found[parent] for parent in node.parents))
        return found

    def meeting(self, number: int) -> list[int]:
        """Return what an operation joins, sums or multiplies, if it does: maps of the size of its result."""
        node = self.nodes[number]
        if node.operation not in (JOIN, SUM, PRODUCT) or not node.is_map:
            return []
        return [p for p in dict.fromkeys(node.parents) if self.nodes[p].positions == node.positions]

    def ancestors(self, node: int) -> set[int]:
        """Return a node and all that it was made from."""
        found, ahead = set[int](), [node]
        while ahead:
            number = ahead.pop()
            if number not in found:
                found.add(number)
                ahead += self._parents(number, self.nodes[number])
        return found

    def _block_of(self, node: Node) -> Call | None:
        at = bisect_right(self._starts, node.made) - 1
        return self._blocks[at] if at >= 0 and self._blocks[at].held(node.made) else None

    def _parents(self, number: int, node: Node) -> tuple[int, ...]:
        """Return what a tensor was made of; inside of a block, the map that the block was given first."""
        block = self._block_of(node)
        if block is None:
            return node.parents
        given = tuple(a for a in block.arrived if a < number)
        return next(((a,) for a in given if self._maps.at(a) is not None), given)

    def _past(self, number: int, node: Node, parents: tuple[int, ...]) -> float:
        past = min((self.coarsest[parent] for parent in parents), default=math.inf)
        block = self._block_of(node)
        if self._summary[number] or (block is not None and number != block.left):
            return past
        size = self._sizes.get(number)
        if size is None and (node.operation in _RESIZE or not node.parents):
            size = node.positions
        return min(past, size) if size else past

    def _is_summary(self, node: Node) -> bool:
        """Return whether a tensor sums up a map, or was made from such alone and is no finer."""
        parents = [self.nodes[parent] for parent in node.parents]
        if node.operation in SUMMARIES and parents and parents[0].is_map:
            return node.positions < parents[0].positions
        grows = node.is_map and any(p.is_map and p.positions < node.positions for p in parents)
        return bool(parents) and not grows and all(self._summary[parent] for parent in node.parents)


def _sizes(notes: Probe, maps: Maps) -> dict[int, int]:
    """Return the positions of every map that a module returned."""
    found: dict[int, int] = {}
    for call in notes.calls.values():
        layout = maps.output(call)
        if layout is not None:
            found.setdefault(call.left, layout.positions)
    return found
