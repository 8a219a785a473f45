"""Training in stages: one part of a model after the other, everything else frozen.

A model asks for it by having ``training_stages``, which names the stages in order and says which of its parts
each one trains, and an attribute ``stage``: the name of the stage that it is in, or None. The model decides
what it returns in a stage: the loss and the score on the validation images are computed from that.

All other parts are frozen: their weights, and what they learn without a gradient, such as the running
statistics of normalisation, because they stay in evaluation mode. Each stage is a run of its own with a whole
schedule of the learning rate, and ends with the weights of its best epoch on the validation images, if there
are any. The recipe's epochs are those of all stages together, so the budget stays the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from torch import nn

from foveate.errors import OptionError, UnknownNameError
from foveate.recipe import TrainConfig
from foveate.train.checkpoint import Checkpoints
from foveate.train.history import Epoch
from foveate.train.position import Fingerprint
from foveate.train.progress import Progress, Silent
from foveate.train.result import FitResult, save_result


def stages_of(model: nn.Module) -> Mapping[str, Sequence[nn.Module]]:
    """Return the parts that each stage trains, in order; nothing for a model that is trained as a whole."""
    ask = getattr(model, "training_stages", None)
    return ask() if callable(ask) else {}


def stage_of(model: nn.Module) -> str | None:
    """Return the stage that a model is in."""
    return getattr(model, "stage", None)


@contextmanager
def in_stage(model: nn.Module, name: str) -> Iterator[None]:
    """Let only the parts of one stage be trained inside a ``with`` block.

    Afterwards, also after an exception, parameters need gradients as they did before.

    Args:
        model: One that has stages.
        name: The stage.

    Raises:
        UnknownNameError: The model has no such stage.
    """
    stages, staged = stages_of(model), cast(Any, model)
    if name not in stages:
        raise UnknownNameError(f"training stage of {type(model).__name__}", name, stages)
    trained = {parameter for part in stages[name] for parameter in part.parameters()}
    held = [p for p in model.parameters() if p.requires_grad and p not in trained]
    for parameter in held:
        parameter.requires_grad_(False)
    staged.stage = name
    try:
        yield
    finally:
        staged.stage = None
        for parameter in held:
            parameter.requires_grad_(True)


def freeze_others(model: nn.Module) -> None:
    """Set what the model's current stage does not train to evaluation mode; outside a stage, do nothing."""
    stage = stage_of(model)
    if stage is None or stage not in stages_of(model):
        return
    trained = {module for part in stages_of(model)[stage] for module in part.modules()}
    for module in model.modules():
        if trained.isdisjoint(module.modules()):
            module.eval()


def fit_stages(
    model: nn.Module,
    config: TrainConfig,
    folder: Path,
    run: Fingerprint,
    fit_one: Callable[[TrainConfig, Path, Progress], FitResult],
    *,
    steps_of: Callable[[TrainConfig], int],
    progress: Progress,
    name: str,
) -> FitResult:
    """Train a model stage by stage, or resume where ``folder`` says that it stopped.

    Args:
        model: With its first weights.
        config: The recipe of all stages together.
        folder: The run's; every stage has a folder of its own beside its checkpoints until all are done.
        run: Which run it is.
        fit_one: Trains the model by a recipe, in a folder.
        steps_of: How many steps a recipe takes.
        progress: Notified of every step.
        name: What ``progress`` calls the run.

    Returns:
        The model and the history of all stages in one.

    Raises:
        OptionError: There are fewer epochs than stages.
    """
    stages = list(stages_of(model))
    recipes = dict(zip(stages, stage_recipes(config, stages), strict=True))
    steps = sum(steps_of(recipe) for recipe in recipes.values())
    stop = min(steps, config.max_steps or steps)
    results: list[FitResult] = []
    progress.begin(name, stop)
    try:
        for stage, recipe in recipes.items():
            done = sum(result.steps for result in results)
            if done >= stop:
                break
            part = replace(recipe, max_steps=min(stop - done, steps_of(recipe)))
            with in_stage(model, stage):
                home = Checkpoints(folder).folder / stage
                results.append(fit_one(part, home, _Part(progress, stage, done)))
    finally:
        progress.end()
    result = _joined(results)
    save_result(folder, result, run)
    if result.steps == steps:
        Checkpoints(folder).clear()
    return result


def stage_recipes(config: TrainConfig, stages: Sequence[str]) -> list[TrainConfig]:
    """Return the recipe of every stage: its share of the epochs, the first ones an epoch more.

    Raises:
        OptionError: There are fewer epochs than stages.
    """
    least, more = divmod(config.epochs, len(stages))
    if least == 0:
        raise OptionError(
            f"epochs: got {config.epochs}, expected at least {len(stages)}: the model is trained in stages, "
            f"{', '.join(stages)}, which share the epochs."
        )
    return [replace(config, epochs=least + (number < more), keep_best=True) for number in range(len(stages))]


def _joined(results: Sequence[FitResult]) -> FitResult:
    """Return the results of runs that followed each other as those of one."""
    history: list[Epoch] = []
    for result in results:
        before = len(history)
        for at, entry in enumerate(result.history):
            history.append(entry.copy())
            history[-1]["epoch"] = before + at
    steps = sum(result.steps for result in results)
    # A step has as many images in every stage, so their times add up.
    seconds_a_step = sum(result.steps / max(result.images_per_second, 1e-9) for result in results)
    return FitResult(
        model=results[-1].model,
        history=history,
        steps=steps,
        seconds=sum(result.seconds for result in results),
        images_per_second=steps / max(seconds_a_step, 1e-9),
        val_score=results[-1].val_score,
    )


class _Part(Silent):
    """Reports the progress of a stage as part of the whole run."""

    def __init__(self, whole: Progress, stage: str, before: int) -> None:
        self.whole, self.stage, self.before = whole, stage, before

    def advance(self, done: int) -> None:
        self.whole.advance(self.before + done)

    def note(self, text: str) -> None:
        self.whole.note(f"{self.stage}: {text}")
