"""What a block of ``record`` has recorded: each layer's last weights, every call, and the order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from torch import Tensor, nn

from foveate.errors import UnknownNameError
from foveate.explain.recording.attention_map import AttentionMap
from foveate.explain.recording.recorder import Recorder
from foveate.explain.recording.without_attention import why_nothing


class Recorded(Mapping[str, Tensor]):
    """The weights of a model's layers, by path; it fills as the model runs.

    As a mapping it gives the weights of each layer's last call. ``calls`` has every call, with axes, kind and
    geometry; ``in_order`` has all of them in the order in which they ran.

    Args:
        model: The model.
        recorder: The block's recorder.
    """

    def __init__(self, model: nn.Module, recorder: Recorder) -> None:
        self._recorder = recorder
        self._name = type(model).__name__

    def __getitem__(self, path: str) -> Tensor:
        try:
            return self._recorder.last[path]
        except KeyError:
            raise self._unknown(path) from None

    def __iter__(self) -> Iterator[str]:
        return iter(tuple(self._recorder.last))

    def __len__(self) -> int:
        return len(self._recorder.last)

    def __repr__(self) -> str:
        lines = [repr(found[-1]) + (f", {len(found)} calls" if found[1:] else "") for found in self._all()]
        return "\n".join(
            [f"Recorded from {self._name}: {len(self)} layers", *lines, *filter(None, [self.note])]
        )

    def calls(self, path: str) -> tuple[AttentionMap, ...]:
        """Return every recorded call of a layer, the first one first.

        Raises:
            UnknownNameError: No layer of this path was recorded; says so if the model has no attention.
        """
        found = self._recorder.calls.get(path)
        if found is None:
            raise self._unknown(path)
        return tuple(found)

    @property
    def in_order(self) -> tuple[AttentionMap, ...]:
        """Every recorded call of every layer, in the order in which they ran."""
        return tuple(sorted((m for found in self._all() for m in found), key=lambda m: m.order))

    def chain(self, run: int = -1) -> tuple[AttentionMap, ...]:
        """Return the self-attention over places or words of one run of the model, from its input on.

        These are what attention rollout multiplies: softmax or mixed weights of queries and keys, without
        gates, channels, and foveate's own maps. A class token is the first of ``geometry.keys.prefix`` then.

        Args:
            run: Which call of each layer: 0 for the first run of the model, -1 for the last.
        """
        found = [calls[run] for calls in self._all() if -len(calls) <= run < len(calls)]
        return tuple(
            sorted((m for m in found if m.pairwise and m.kind in ("softmax", "mixed")), key=lambda m: m.order)
        )

    @property
    def note(self) -> str:
        """Why nothing was recorded, in words; empty if something was."""
        return "" if self._recorder.last else self._why()

    def _why(self) -> str:
        recorder = self._recorder
        return why_nothing(recorder.modules[""], recorder.ran_at_all, recorder.choice.layers)

    def _all(self) -> list[list[AttentionMap]]:
        return list(self._recorder.calls.values())

    def _unknown(self, path: str) -> UnknownNameError:
        return UnknownNameError("recorded layer", path, self._recorder.last, hint=self.note)
