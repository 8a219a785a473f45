"""Skip connections: where a map that bypasses the encoder's deepest map meets one made from that map.

They are found by what each tensor was made from, so that it does not matter how a network is written, and
attention is put where it changes what the decoder gets and nothing else. From the simplest case to the rest:

- a module takes both maps as separate arguments: in front of it, on that argument;
- a module, such as a 1 x 1 convolution, stands on the connection alone: in front of it;
- the maps are joined by ``cat``: on their channels of the joined map, where that enters or leaves a module;
- they are summed: what attention changes is added to the sum.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from foveate.insert.find.flow import Deeper, Flow, Place
from foveate.insert.find.recorded_run import JOIN, PRODUCT, Call
from foveate.insert.layout import Layout


@dataclass(frozen=True)
class Meeting:
    """A map of the encoder, and a deeper one.

    Args:
        fine: The node of the encoder's map.
        deep: The node of the other.
        joined: The node of what they become; -1 where a module takes both.
    """

    fine: int
    deep: int
    joined: int = -1


def find_skips(flow: Flow, stages: list[Call]) -> list[Place]:
    """Return every connection from the encoder to the decoder of a model, none for a classifier.

    Args:
        flow: The run.
        stages: What ends each stage.
    """
    if flow.classifies or not stages:
        return []
    return list(dict.fromkeys(_Search(flow, stages[-1]).places()))


class _Search:
    """The search in one run.

    Args:
        flow: The run.
        deepest: What makes the encoder's deepest map.
    """

    def __init__(self, flow: Flow, deepest: Call) -> None:
        self.flow, self.run, self.hosts = flow, flow.run, flow.hosts
        self.deep = self.run.trace.made_from({deepest.output_node, *deepest.later_output_nodes})
        self.nodes, self.uses = flow.nodes, flow.uses

    def places(self) -> Iterator[Place]:
        takers = self._takers()
        for call, (name, meeting) in takers.items():
            yield from self._at_argument(self.run.calls[call], name, meeting)
        inside = [*(self.run.calls[path] for path in takers), *self.flow.every_block]
        carried = {meeting.fine for _, meeting in takers.values()}
        for meeting in self._meetings():
            time = self.nodes[meeting.joined].time
            if meeting.joined not in carried and not any(call.was_running(time) for call in inside):
                place = self._on_the_connection(meeting) or self._where_joined(meeting)
                if place is not None:
                    yield place

    # --- both are arguments of one module

    def _takers(self) -> dict[str, tuple[str, Meeting]]:
        """Return the outermost modules that take one map of the encoder and a deeper one, by their paths."""
        found: dict[str, tuple[str, Meeting]] = {}
        for call in self.hosts:
            if any(self.run.calls[path].contains(call) for path in found):
                continue
            given = self.run.map_arguments(call)
            fine = [name for name, node in given.items() if not self.deep[node]]
            deep = [node for node in given.values() if self.deep[node]]
            if deep and len(fine) == 1:
                found[call.path] = (fine[0], Meeting(given[fine[0]], deep[0]))
        return found

    def _at_argument(self, call: Call, name: str, meeting: Meeting) -> Iterator[Place]:
        deep = next(
            n for (n, _, _), node in zip(call.inputs, call.input_nodes, strict=True) if node == meeting.deep
        )
        layout, deeper = self.flow.maps.at(meeting.fine), self.flow.maps.at(meeting.deep)
        if layout is not None and deeper is not None:
            yield Place(call.path, "before", layout, argument=name, deeper=Deeper(deeper, argument=deep))

    # --- an operation joins them

    def _meetings(self) -> Iterator[Meeting]:
        for number in range(len(self.nodes)):
            parents = self.run.trace.merged_maps(number)
            deep = [node for node in parents if self.deep[node]]
            for node in parents:
                if deep and not self.deep[node]:
                    yield Meeting(node, deep[0], number)

    def _on_the_connection(self, meeting: Meeting) -> Place | None:
        """Return the place in front of the first module that this connection has to itself."""
        node, then, first, last = meeting.fine, meeting.joined, None, None
        taker: Call | None = None
        while all(use == then if taker is None else self._is_made_in(taker, use) for use in self.uses[node]):
            maker = self._maker(node)
            if maker is not None:
                first, last, taker, node = maker, last or maker, maker, self._one_input(maker)
            elif len(self.nodes[node].parents) == 1:
                then, taker, node = node, None, self.nodes[node].parents[0]
            else:
                break
        if first is None or last is None:
            return None
        if self.nodes[node].parents:
            place = self.flow.place_before(first, node)
            return None if place is None else self._with_deeper(place, meeting, first.started)
        return self._with_deeper(self.flow.place_after(last), meeting, last.ended)

    def _maker(self, node: int) -> Call | None:
        """Return the outermost module that made a map from one other map."""
        made = (c for c in self.hosts if c.output_node == node and self.flow.makes_map(c))
        return next((c for c in made if self._one_input(c) not in (-1, node)), None)

    def _one_input(self, call: Call) -> int:
        maps = {node for node in call.input_nodes if self.nodes[node].is_map}
        used = {node for node in maps if self.run.is_used_in(node, call)}
        return used.pop() if len(used) == 1 else -1

    def _where_joined(self, meeting: Meeting) -> Place | None:
        """Return the place where a joined map or a sum enters a module, or leaves one."""
        node = self.nodes[meeting.joined]
        host = self._host(meeting.joined)
        if host is None or node.operation == PRODUCT:
            return None
        if node.operation == JOIN:
            return replace(
                host,
                layout=self._part(meeting.joined, meeting.fine),
                deeper=Deeper(self._part(meeting.joined, meeting.deep)),
            )
        source = self.flow.host_that_makes(meeting.fine)
        if source is None:
            return None
        call = self.run.calls[host.path]
        place = replace(
            self.flow.place_after(source), path=host.path, where=host.where, source=(source.path, "after")
        )
        return self._with_deeper(place, meeting, call.started if host.where == "before" else call.ended)

    def _host(self, joined: int) -> Place | None:
        """Return where a joined map as a whole enters a module or leaves one."""
        for call in self.hosts:
            if joined in call.input_nodes and all(self._is_made_in(call, use) for use in self.uses[joined]):
                return self.flow.place_before(call, joined)
        maker = self.flow.host_that_makes(joined)
        return None if maker is None else self.flow.place_after(maker)

    def _is_made_in(self, call: Call, node: int) -> bool:
        return call.was_running(self.nodes[node].time)

    def _part(self, joined: int, operand: int) -> Layout:
        """Return the channels of a joined map that one of its parts lies in."""
        parents = self.nodes[joined].parents
        widths = [self.nodes[parent].shape[1] for parent in parents]
        at = parents.index(operand)
        size = self.nodes[joined].shape[2:]
        return Layout.of("map", widths[at], size, first=sum(widths[:at]), within=sum(widths))

    def _with_deeper(self, place: Place, meeting: Meeting, time: int) -> Place:
        """Add the last map that was made on the way to the deeper one before the place is reached."""
        node: int | None = meeting.deep
        while node is not None:
            makers = (c for c in self.hosts if c.output_node == node and c.ended < time)
            source = next((c for c in makers if self.flow.makes_map(c)), None)
            if source is not None:
                layout = self.flow.place_after(source).layout
                return replace(place, deeper=Deeper(layout, source=(source.path, "after")))
            node = next((parent for parent in self.nodes[node].parents if self.deep[parent]), None)
        return place
