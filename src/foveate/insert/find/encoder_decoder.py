"""How coarse the maps were that each tensor was made through: this distinguishes decoder from encoder.

A map of an encoder was never coarser than it is. A decoder's map is made through the deepest map of the
encoder, and its past still shows this when it has been scaled up.
"""

from __future__ import annotations

import math
from bisect import bisect_right

from foveate.insert.find.flow import Lineage, Maps
from foveate.insert.find.recorded_run import SUMMARIES, Call, Node, Run

_RESIZE = {"convolution", "max_pool2d_with_indices", "avg_pool2d"}


def find_lineage(run: Run, maps: Maps, blocks: list[Call]) -> Lineage:
    """Return the past of every tensor of one run.

    Args:
        run: The run.
        maps: The layouts of its tensors.
        blocks: Residual and transformer blocks; however coarse a map is inside them, only what they return
            counts.
    """
    return _Past(run, maps, blocks).lineage


class _Past:
    """The lineage of one run, as far as it has been found."""

    def __init__(self, run: Run, maps: Maps, blocks: list[Call]) -> None:
        self._trace, self._nodes = run.trace, run.trace.nodes
        self._blocks = sorted(blocks, key=lambda block: block.started)
        self._starts = [block.started for block in self._blocks]
        self._maps, self._sizes = maps, _sizes(run, maps)
        self._summary: list[bool] = []
        self.lineage = Lineage()
        for number, node in enumerate(self._nodes):
            self._add(number, node)

    def _add(self, number: int, node: Node) -> None:
        block, known = self._block_of(node), self.lineage
        parents = node.parents if block is None else self._given(block, number)
        self._summary.append(self._is_summary(node))
        known.parents.append(parents)
        known.coarsest.append(self._coarsest(number, node, parents, block))
        joins_finer = block is None and bool(known.finer(self._trace.merged_maps(number)))
        known.decoded.append(any(known.decoded[p] for p in parents) or joins_finer)

    def _block_of(self, node: Node) -> Call | None:
        at = bisect_right(self._starts, node.time) - 1
        return self._blocks[at] if at >= 0 and self._blocks[at].was_running(node.time) else None

    def _given(self, block: Call, number: int) -> tuple[int, ...]:
        """Return the map that a block was given first, or all that it was given."""
        given = tuple(node for node in block.input_nodes if node < number)
        return next(((node,) for node in given if self._maps.at(node) is not None), given)

    def _coarsest(self, number: int, node: Node, parents: tuple[int, ...], block: Call | None) -> float:
        past = min((self.lineage.coarsest[parent] for parent in parents), default=math.inf)
        if self._summary[number] or (block is not None and number != block.output_node):
            return past
        size = self._sizes.get(number)
        if size is None and (node.operation in _RESIZE or not node.parents):
            size = node.positions
        return min(past, size) if size else past

    def _is_summary(self, node: Node) -> bool:
        """Return whether a tensor sums up a map, or was made from such alone and is no finer."""
        parents = [self._nodes[parent] for parent in node.parents]
        if node.operation in SUMMARIES and parents and parents[0].is_map:
            return node.positions < parents[0].positions
        grows = node.is_map and any(p.is_map and p.positions < node.positions for p in parents)
        return bool(parents) and not grows and all(self._summary[parent] for parent in node.parents)


def _sizes(run: Run, maps: Maps) -> dict[int, int]:
    """Return the positions of every map that a module returned."""
    found: dict[int, int] = {}
    for call in run.calls.values():
        layout = maps.output(call)
        if layout is not None:
            found.setdefault(call.output_node, layout.positions)
    return found
