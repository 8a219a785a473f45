"""Which layer of a model a class activation map is made at, and how its map lies in its tensor.

The rule, where no layer is named: the last map, or token sequence whose grid is known, with more than one
position and a gradient of the target that is not zero. It is found from one run of the model, in which the
rows, columns and channels of the images are followed through every operation (``foveate.insert``), so no
reshape function and no name is needed:

- inside a residual or transformer block only what its direct children return counts, and nowhere what a
  linear layer returns, such as queries or keys: in a ViT that reads its class token alone, nothing reads the
  positions behind the last block, and the layer is this block's first norm;
- a segmenter's maps of scores, and what follows them, do not count: there the map would be the answer;
- of a torchvision detector only the backbone counts, so that boxes are explained by features and not by
  anchors;
- where several maps end side by side, such as the levels of a feature pyramid, all of them are taken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from torch import Tensor, nn

from foveate.errors import SiteError, nearest
from foveate.explain.detector_canvas import is_detector
from foveate.insert.find.flow import Flow
from foveate.insert.find.recorded_run import Call
from foveate.insert.find.segmenter_sites import score_node
from foveate.insert.layout import Layout
from foveate.insert.survey import observe
from foveate.nested_tensors import first_tensor, map_first_tensor, tensors_in


@dataclass(frozen=True)
class Layer:
    """A module that returns a map.

    Args:
        path: Where it is in the model.
        layout: How the map lies in what it returns.
    """

    path: str
    layout: Layout


@dataclass
class Layers:
    """The layers of a model, for images of one size.

    Args:
        candidates: Those that the rule chooses from, in the order in which they end.
        behind: For each of these the others that are made from it.
        every: Every module that returns a map.
        reasons: Why another module cannot be taken, by its path.
        chosen: What the rule chose the first time, if that holds for all images.
    """

    candidates: list[Layer]
    behind: dict[str, frozenset[str]]
    every: dict[str, Layer]
    reasons: dict[str, str]
    chosen: tuple[Layer, ...] = field(default=())

    def named(self, paths: Sequence[str]) -> tuple[Layer, ...]:
        """Return the layers that a user named.

        Raises:
            SiteError: One does not exist, or returns no map.
        """
        return tuple(self._named(path) for path in paths)

    def expect_some(self) -> None:
        """Check that there are candidates.

        Raises:
            SiteError: There are none.
        """
        if not self.candidates:
            raise SiteError(
                "no layer of this model returns a map or token sequence whose rows and columns are known, "
                "as a "
                "class activation map needs. Use a method without a layer, such as integrated_gradients "
                "or rise"
            )

    def last(self, gradients: Sequence[Tensor | None]) -> tuple[Layer, ...]:
        """Return the layers by the rule; the last one if no gradient is different from zero.

        Args:
            gradients: Of what each candidate returned, None where the target does not depend on it.
        """
        used = {
            layer.path: layer
            for layer, gradient in zip(self.candidates, gradients, strict=True)
            if gradient is not None and bool(layer.layout.as_map(gradient).count_nonzero())
        }
        ends = [layer for path, layer in used.items() if not self.behind[path] & used.keys()]
        return tuple(ends) or (self.candidates[-1],)

    def _named(self, path: str) -> Layer:
        if path in self.every:
            return self.every[path]
        if path in self.reasons:
            raise SiteError(
                f'layer: no map can be taken at "{path}": {self.reasons[path]}. Name another, or none: then '
                "the last layer with a map is taken"
            )
        raise SiteError(f'layer: the model has no layer "{path}". {nearest(path, self.every)}')


_KNOWN: WeakKeyDictionary[nn.Module, dict[object, Layers]] = WeakKeyDictionary()


def layers_of(model: nn.Module, example: object) -> Layers:
    """Return the layers of a model; they are remembered until a module of it is replaced.

    Raises:
        SiteError: The model does not run on the example, or no image is in it.
    """
    modules = frozenset((path, id(module)) for path, module in model.named_modules())
    key = (modules, tuple(tuple(t.shape) for t in tensors_in(example)))
    known = _KNOWN.setdefault(model, {})
    if key not in known:
        known.clear()  # of other sizes: one run of the model finds them again
        known[key] = _layers_in(observe(model, example), "backbone." if is_detector(model) else "")
    return known[key]


def _layers_in(flow: Flow, within: str) -> Layers:
    made = [c for c in flow.calls if c.path and flow.runs_once(c)]
    every = {c.path: Layer(c.path, layout) for c in made if (layout := flow.maps.output(c)) is not None}
    reasons = {
        c.path: flow.maps.why_no_output(c) if flow.runs_once(c) else "it runs more than once"
        for c in flow.calls
        if c.path not in every
    }
    past = {c.path: _made_of(flow, c.output_node) for c in made if c.path in every}
    scores = score_node(flow) if flow.is_dense else -1
    taken = [
        c
        for c in _candidates(flow)
        if c.path in every and c.path.startswith(within) and scores not in past[c.path]
    ]
    outermost = {c.output_node: c for c in sorted(taken, key=lambda c: -c.started)}  # of those that return it
    calls = sorted(outermost.values(), key=lambda c: c.ended)
    behind = {
        c.path: frozenset(o.path for o in calls if o is not c and c.output_node in past[o.path])
        for c in calls
    }
    return Layers([every[c.path] for c in calls], behind, every, reasons)


def _candidates(flow: Flow) -> Iterator[Call]:
    """Yield the calls that the rule may choose."""
    for call in flow.calls:
        around = [block for block in flow.every_block if block.contains(call)]
        inside = around and call.parent != around[0].path
        projects = isinstance(call.module, nn.Linear) or _scores(flow, call)
        if call.path and not (inside or projects) and flow.runs_once(call) and flow.positions(call) > 1:
            yield call


def _scores(flow: Flow, call: Call) -> bool:
    """Return whether a module is a convolution to one channel a class, as where maps of scores are joined."""
    if not flow.is_dense or flow.result is None or not isinstance(call.module, nn.Conv2d):
        return False
    return call.module.out_channels == flow.result.shape[1]


def _made_of(flow: Flow, node: int) -> set[int]:
    """Return a tensor and all that it was made from."""
    found, ahead = set[int](), [node]
    while ahead:
        number = ahead.pop()
        if number not in found:
            found.add(number)
            ahead += flow.nodes[number].parents
    return found


@contextmanager
def caught(
    model: nn.Module, layers: Sequence[Layer], catch: Callable[[int, Tensor], Tensor]
) -> Iterator[None]:
    """Pass what layers return through a function while the model runs.

    Args:
        model: The model.
        layers: Modules of it.
        catch: Gets the layer's number in ``layers`` and its tensor, and returns the tensor to go on with.
    """

    def hook_of(number: int) -> Callable[[nn.Module, object, object], object]:
        def hook(_module: nn.Module, _args: object, output: object) -> object:
            return (
                map_first_tensor(output, lambda x: catch(number, x))
                if first_tensor(output) is not None
                else output
            )

        return hook

    with ExitStack() as undo:
        for number, layer in enumerate(layers):
            module = model.get_submodule(layer.path)
            undo.callback(module.register_forward_hook(hook_of(number)).remove)
        yield


def cut_here(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return a tensor as the start of a new graph, and a copy to go on with that may change in place."""
    leaf = x.detach().requires_grad_()
    return leaf, leaf.clone()
