"""Models of a study: for one seed, all variants have the same weights where they share them."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import nn

from foveate.calls import parse_call
from foveate.compare.plan import StudyPlan
from foveate.compare.planned import BASELINE, PlannedRun, PlannedVariant
from foveate.tasks.base import Task
from foveate.tasks.build_model import attended, build_model


def build(plan: StudyPlan, task: Task, variant: PlannedVariant | PlannedRun, seed: int) -> nn.Module:
    """Return the model of one variant with its first weights.

    A variant that is the study's model with other options, such as ``translator(attention=dot)`` beside
    ``translator(attention=additive)``, starts from the study's own weights wherever name and shape agree, if
    training starts from scratch. Elsewhere weights come from the same seed.
    """
    own = variant.model or plan.model
    model = build_model(
        task,
        own,
        spec=variant.spec,
        start=plan.start,
        pretrained=plan.pretrained,
        weights=plan.weights if own == plan.model else None,
        seed=seed,
    )
    if own != plan.model and plan.mode == "scratch" and parse_call(own)[0] == parse_call(plan.model)[0]:
        _share(build_model(task, plan.model, seed=seed), model)
    return model


class Builder:
    """Builds many variants for one seed: equal to those of ``build``, the study's own model being made once.

    Args:
        plan: The study.
        task: What the models are for.
    """

    def __init__(self, plan: StudyPlan, task: Task) -> None:
        self.plan, self.task, self.seed = plan, task, plan.seeds[0]

    def __call__(self, variant: PlannedVariant) -> nn.Module:
        """Return the model of one variant, which shares no weights with the others."""
        if variant.spec is None:
            return build(self.plan, self.task, variant, self.seed)
        return attended(self.task, self._plain, variant.spec, start=self.plan.start, seed=self.seed)

    @cached_property
    def _plain(self) -> nn.Module:
        return build(self.plan, self.task, PlannedVariant(BASELINE, "baseline", None), self.seed)


def _share(source: nn.Module, model: nn.Module) -> None:
    """Copy the weights that two models share by name and shape."""
    theirs, own = source.state_dict(), model.state_dict()
    with torch.no_grad():
        for name, value in own.items():
            if name in theirs and theirs[name].shape == value.shape:
                value.copy_(theirs[name])
