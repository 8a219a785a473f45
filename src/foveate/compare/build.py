"""Models of a study: for one seed, all variants have the same weights where they share them."""

from __future__ import annotations

import torch
from torch import nn

from foveate.calls import parse_call
from foveate.compare.plan import StudyPlan
from foveate.compare.planned import PlannedRun, PlannedVariant
from foveate.tasks.base import Task
from foveate.tasks.build_model import build_model


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


def _share(source: nn.Module, model: nn.Module) -> None:
    """Copy the weights that two models share by name and shape."""
    theirs, own = source.state_dict(), model.state_dict()
    with torch.no_grad():
        for name, value in own.items():
            if name in theirs and theirs[name].shape == value.shape:
                value.copy_(theirs[name])
