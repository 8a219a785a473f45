"""One block of ``record``: takes what the sources see, keeps what was chosen, and knows the order."""

from __future__ import annotations

import threading
import weakref
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from foveate.errors import RecordingError
from foveate.explain.families.layout import Call, Layout, arranged, family_of, fits, split_axes
from foveate.explain.geometry.places import Kind
from foveate.explain.recording.attention_map import AttentionMap
from foveate.explain.recording.call_site import around
from foveate.explain.recording.choice import Choice, too_much
from foveate.explain.recording.store import stored
from foveate.mechanisms.base import Mechanism
from foveate.mechanisms.map_tap import RECORD, MapTap
from foveate.mechanisms.switch import Block


class Weights(Protocol):
    """What a source knows about the weights of one call."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of all weights, (..., N, M)."""

    @property
    def precision(self) -> str:
        """How exact the weights are, in words."""

    def weights(self, heads: tuple[int, ...] | None = None, rows: tuple[int, ...] | None = None) -> Tensor:
        """Return the weights of some heads (axis -3) and queries."""

    def on_gradient(
        self, keep: Callable[[Tensor], None], heads: tuple[int, ...] | None, rows: tuple[int, ...] | None
    ) -> Any:
        """Hand the gradient to ``keep``; return a handle, or None."""


class Recorder(Block):
    """One block of ``record``.

    Args:
        model: The model.
        taps: Its taps.
        choice: What to keep.
    """

    def __init__(self, model: nn.Module, taps: Iterable[nn.Module], choice: Choice) -> None:
        super().__init__([model, *taps])
        self._model = weakref.ref(model)
        self.choice = choice
        self.modules = dict(model.named_modules())
        self.paths = {module: path for path, module in self.modules.items()}
        self.inputs: dict[nn.Module, tuple[tuple[object, ...], dict[str, object]]] = {}
        self.results: dict[nn.Module, object] = {}
        self.calls: dict[str, list[AttentionMap]] = {}
        self.last: dict[str, Tensor] = {}
        self.ran: Counter[str] = Counter()  # calls that a source saw, whether they were kept or not
        self.ran_at_all = False
        self.lock = threading.RLock()
        self._own = self._with_taps()
        self._kept = 0
        self._order = 0
        self._handles: list[Any] = []

    @property
    def here(self) -> bool:
        """Whether the code that runs belongs to this block, and is not backward's second run of a part."""
        model = self._model()
        return model is not None and self in RECORD.blocks(model) and torch._C._current_graph_task_id() == -1

    def wants(self, path: str) -> bool:
        """Return whether a source should record the layer at a path: foveate's own have taps."""
        return self.choice.wants(path) and not any(path == own or path.startswith(own) for own in self._own)

    def keep(self, path: str, seen: Weights, kind: Kind) -> None:
        """Keep the weights of one call, in the axes and with the geometry that its family declares."""
        with torch._C.DisableTorchFunction(), torch.no_grad():
            self._keep(path, seen, kind)

    def keep_as_is(self, path: str, weights: Tensor, axes: str, kind: Kind, precision: str) -> None:
        """Keep weights with axes of their own: gates and taps."""
        self._room(path, tuple(weights.shape), axes, weights.dtype)
        self._add(AttentionMap(path, 0, 0, self._placed(weights, path), axes, kind, precision=precision))

    def close(self) -> None:
        """End the block, and take back the hooks on tensors."""
        super().close()
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self.inputs.clear()
        self.results.clear()

    def _keep(self, path: str, seen: Weights, kind: Kind) -> None:
        shape = seen.shape
        layout, note = self._layout(path, shape)
        names, sizes = split_axes(shape, layout)
        early = self._early_heads(layout, names, sizes)
        rows = self._of_axis(
            path, "queries", self.choice.queries, dict(zip(names, sizes, strict=True)).get("n", 1)
        )
        kept_shape, axes = self._shape_kept(path, names, sizes)
        self._room(path, kept_shape, axes, torch.float32)
        weights = self._chosen(path, seen, layout, early, rows)
        geometry = layout.geometry
        kept = AttentionMap(
            path=path,
            call=0,
            order=0,
            weights=self._placed(weights, path),
            axes=axes,
            kind=layout.kind or kind,
            geometry=geometry,
            note=note,
            precision=seen.precision,
            heads=self.choice.heads,
            queries=rows,
        )
        if self.choice.grad:
            self._watch(kept, seen, layout, early, rows)
        self._add(kept)

    def _layout(self, path: str, shape: tuple[int, ...]) -> tuple[Layout, str]:
        """Return what the family declares if it agrees with the weights, and why the geometry is unknown."""
        plain = Layout(" ".join(["b", "g", "k", "n", "m"][:1] + ["g", "k", "n", "m"][-(len(shape) - 1) :]))
        module = self.modules[path]
        declared = family_of(module)
        if len(shape) < 2 or len(shape) > 5:
            raise RecordingError(f"record: {path} forms weights of shape {shape}, expected 2 to 5 axes")
        if declared is None:
            return plain, f"no geometry is declared for {type(module).__module__}.{type(module).__qualname__}"
        call = Call(path, module, around(path, self.modules), shape, self.inputs, self.results)
        try:
            layout = declared.describe(call)
            names, sizes = split_axes(shape, layout)
        except (StopIteration, KeyError, IndexError, AttributeError, ValueError, TypeError) as error:
            return plain, f"what is declared for {type(module).__qualname__} does not fit this call ({error})"
        known = dict(zip(names, sizes, strict=True))
        axes = "b g k n m" if "g" in known else "b k n m"
        wrong = fits(tuple(known.get(name, 1) for name in axes.split()), axes, layout)
        if wrong:
            bare = Layout(layout.pattern, sizes=layout.sizes, kind=layout.kind)
            return bare, f"what is declared for {type(module).__qualname__} does not fit this call: {wrong}"
        return layout, layout.note or ("" if layout.geometry else "its family declares no geometry")

    def _early_heads(self, layout: Layout, names: list[str], sizes: list[int]) -> bool:
        """Return whether heads can be chosen before the softmax: they are an axis of their own, -3."""
        parts = layout.pattern.split()
        return len(parts) >= 3 and parts[-3] == "k" and names[-2:] == ["n", "m"]

    def _shape_kept(self, path: str, names: list[str], sizes: list[int]) -> tuple[tuple[int, ...], str]:
        known = dict(zip(names, sizes, strict=True))
        axes = [name for name in ("b", "g", "k", "n", "m") if name != "g" or "g" in known]
        heads = self._of_axis(path, "heads", self.choice.heads, known.get("k", 1))
        if heads is not None:
            known["k"] = 1 if heads == "mean" else len(heads)
        if self.choice.queries is not None:
            known["n"] = len(self.choice.queries)
        return tuple(known.get(name, 1) for name in axes), " ".join(axes)

    def _of_axis(self, path: str, option: str, chosen: Any, size: int) -> Any:
        if chosen is not None and chosen != "mean" and max(chosen) >= size:
            raise RecordingError(
                f"record: {option}={list(chosen)}, but {path or 'the model'} has {size} of them, from 0 to "
                f"{size - 1}. Choose others, or only the layers that have these: layers=..."
            )
        return chosen

    def _chosen(self, path: str, seen: Weights, layout: Layout, early: bool, rows: Any) -> Tensor:
        heads = self.choice.heads
        n_last = layout.pattern.split()[-2:] == ["n", "m"]
        before = rows if n_last else None
        if heads == "mean" and early:
            count = seen.shape[-3]
            total = seen.weights((0,), before)
            for head in range(1, count):
                total = total + seen.weights((head,), before)
            weights, _ = arranged(total / count, layout)
        elif early:
            weights, _ = arranged(seen.weights(None if heads == "mean" else heads, before), layout)
        else:
            weights, axes = arranged(seen.weights(None, before), layout)
            k = axes.split().index("k")
            if heads == "mean":
                weights = weights.mean(dim=k, keepdim=True)
            elif heads is not None:
                weights = weights.index_select(k, torch.tensor(heads, device=weights.device))
        if rows is not None and not n_last:
            weights = weights.index_select(-2, torch.tensor(rows, device=weights.device))
        return weights

    def _watch(self, kept: AttentionMap, seen: Weights, layout: Layout, early: bool, rows: Any) -> None:
        heads = self.choice.heads if early and self.choice.heads != "mean" else None
        n_last = layout.pattern.split()[-2:] == ["n", "m"]
        target = weakref.ref(kept)

        def keep(gradient: Tensor) -> None:
            found = target()
            if found is None:
                return
            with torch._C.DisableTorchFunction(), torch.no_grad():
                gradient, axes = arranged(gradient, layout)
                k = axes.split().index("k")
                if self.choice.heads == "mean":
                    gradient = gradient.mean(dim=k, keepdim=True)
                elif self.choice.heads is not None and heads is None:
                    gradient = gradient.index_select(
                        k, torch.tensor(self.choice.heads, device=gradient.device)
                    )
                if rows is not None and not n_last:
                    gradient = gradient.index_select(-2, torch.tensor(rows, device=gradient.device))
                found.gradient = gradient

        with torch.enable_grad():
            handle = seen.on_gradient(keep, heads, rows if n_last else None)
        if handle is not None:
            self._handles.append(handle)

    def _room(self, path: str, shape: tuple[int, ...], axes: str, dtype: torch.dtype) -> None:
        """Check that weights of this shape may be formed and kept."""
        needed = torch.Size(shape).numel() * dtype.itemsize
        kept = self._kept if self.choice.folder is None else 0
        if needed + kept > self.choice.limit:
            raise RecordingError(too_much(path, shape, axes, needed, kept, self.choice.limit))
        self._kept += needed

    def _placed(self, weights: Tensor, path: str) -> Tensor:
        return stored(weights, self.choice, path, self._order)

    def _add(self, kept: AttentionMap) -> None:
        with self.lock:
            calls = self.calls.setdefault(kept.path, [])
            kept.call, kept.order = len(calls), self._order
            self._order += 1
            calls.append(kept)
            self.last[kept.path] = kept.weights

    def _with_taps(self) -> tuple[str, ...]:
        """Return the paths of foveate's layers whose weights taps give, so that nothing is there twice."""
        found: list[str] = []
        if not any(isinstance(module, MapTap | Mechanism) for module in self.modules.values()):
            return ()
        for path, module in self.modules.items():
            taps = any(isinstance(part, MapTap) for part in module.children())
            if isinstance(module, Mechanism) or (taps and type(module).__module__.startswith("foveate.")):
                found += [path, f"{path}." if path else ""]
        return tuple(found)
