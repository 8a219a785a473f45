"""Sanity by randomisation: a map that survives when the network forgets all it has learnt explains nothing.

The network's weights are shuffled layer after layer, from the output to the input, each layer staying so
(cascading); at several points the map of the original class is made again and compared with the original map.

Paper   Adebayo et al. Sanity Checks for Saliency Maps. NeurIPS 2018. arXiv:1810.03292, sec. 4.1.
Differs from the paper: each parameter tensor is shuffled by a generator of its own, or redrawn with its mean
        and deviation; all of a layer's tensors are, tokens, positions and layer scales too; layers are taken
        in the order in which they ran; statistics of batch norms stay. No absolute value and no normalisation
        is taken: rank correlation needs none. The early layers' edges live until the end, and the curve need
        not fall steadily (arXiv:2405.02383): compare it with that of two trained networks (``twin``).
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from foveate.explain.judging.metric import Maps, Metric, Values, metrics
from foveate.explain.judging.similarity import spearman
from foveate.explain.judging.subject import Subject, seeded
from foveate.options import check_fields, one_of, whole
from foveate.running import eval_no_grad

Layer = tuple[str, dict[str, nn.Parameter]]
Draw = Callable[[str, nn.Parameter], Tensor]


@metrics.register("randomisation")
@dataclass(frozen=True)
class Randomisation(Metric):
    """The mean rank correlation in [-1, 1] of the original map with those on the way to a random network.

    Args:
        steps: At how many points of the cascade maps are made, the last being that of the random network.
        how: "shuffle" the entries of each tensor, or "redraw" them from a normal distribution.
    """

    steps: int = 4
    how: str = "shuffle"

    name = "randomisation"
    asks = "does the map change when the network forgets?"
    better = "lower"
    about = "robustness"
    needs = frozenset({"method"})
    ranks = True

    def __post_init__(self) -> None:
        check_fields(self, self.name)
        whole("randomisation: steps", self.steps)
        one_of("randomisation: how", self.how, ("shuffle", "redraw"))

    def __call__(self, maps: Maps, subject: Subject) -> Values:
        """Return the mean similarity of each picture; the last one, and that of the twin, by name."""
        curve = np.stack([one for _, one in self.cascade(maps, subject)], axis=1)
        each = curve.mean(axis=1)
        extra = {"wholly random": curve[:, -1]}
        if subject.twin is not None:
            extra |= {"of a twin": spearman(maps.values, _map(maps, subject, subject.twin))}
        return Values(
            each, {"a map of the random network is constant": np.isnan(each)}, extra, {"cascade": curve}
        )

    def cascade(
        self, maps: Maps, subject: Subject, draw: Draw | None = None
    ) -> Iterator[tuple[str, np.ndarray]]:
        """Yield the name of the last layer that was randomised, and the similarity of each picture's map.

        Args:
            maps: The original ones, and how they are made.
            subject: Its model stays as it is: a copy is randomised.
            draw: Name and parameter -> its random values; by ``how`` if None.
        """
        model = copy.deepcopy(subject.model)
        layers = layers_from_output(model, subject.images[:1])
        ends = {round(end) for end in np.linspace(0, len(layers), self.steps + 1)[1:]}
        for number, (name, parameters) in enumerate(layers, start=1):
            with torch.no_grad():
                for key, parameter in parameters.items():
                    values = draw(key, parameter) if draw else self._drawn(key, parameter, subject.seed)
                    parameter.copy_(values)
            if number in ends:
                yield name, spearman(maps.values, _map(maps, subject, model))

    def _drawn(self, name: str, parameter: nn.Parameter, seed: int) -> Tensor:
        """Return random values for a parameter, from a generator that only its name and the seed decide."""
        own = hashlib.sha256(f"{seed} {name}".encode()).digest()[:7]
        generator = torch.Generator().manual_seed(int.from_bytes(own, "big"))
        values = parameter.detach().cpu()
        if self.how == "shuffle":
            return values.flatten()[torch.randperm(values.numel(), generator=generator)].view(values.shape)
        deviation = values.std(correction=0)
        return values.mean() + deviation * torch.randn(values.shape, generator=generator, dtype=values.dtype)


def layers_from_output(model: nn.Module, image: Tensor) -> list[Layer]:
    """Return the layers with parameters of their own, the last to run first; parameters by their full names.

    What is called by no module, such as the output projection of ``nn.MultiheadAttention``, goes with the
    layer that holds it.
    """
    called: dict[str, None] = {}
    handles = [
        module.register_forward_pre_hook(lambda _m, _i, name=name: called.setdefault(name))
        for name, module in model.named_modules()
    ]
    try:
        with eval_no_grad(model):
            model(image)
    finally:
        for handle in handles:
            handle.remove()
    own: dict[str, dict[str, nn.Parameter]] = {name: {} for name in called}
    for key, parameter in model.named_parameters():
        holder = key.rpartition(".")[0]
        while holder and holder not in own:
            holder = holder.rpartition(".")[0]
        own.setdefault(holder, {})[key] = parameter
    return [(name, parameters) for name, parameters in reversed(own.items()) if parameters]


def _map(maps: Maps, subject: Subject, model: nn.Module) -> Tensor:
    if maps.explain is None:
        raise AssertionError("a metric that needs a method is only called with one")
    with seeded(subject.seed):
        return maps.explain(model, subject.images, subject.target)
