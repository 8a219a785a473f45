"""Load a trained model with everything needed to use it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import MethodType
from typing import Any

from torch import Tensor, nn

from foveate.errors import CheckpointError
from foveate.infer.saved import CONFIG, FOLDER, SavedModel, read_saved, task_of
from foveate.models.given import Given, remember
from foveate.options import checked
from foveate.tasks.base import Task
from foveate.tasks.build_model import build_model
from foveate.tensor_file import SUM, WEIGHTS, read_tensors, tensor_sum
from foveate.trust import reading


def load(path: str | Path, *, trust_code: bool = False, model: Given | None = None) -> nn.Module:
    """Return a trained model from a study's folder, or from a folder with its weights and ``config.json``.

    The model is in evaluation mode. It has ``.task``, ``.classes`` (names in the order of its outputs),
    ``.config`` (all that is known about it) and ``.predict(inputs)``, which does what ``fv.predict`` does.

    Nothing is downloaded, and no code runs but that of foveate, timm and torchvision.

    Args:
        path: The folder.
        trust_code: Whether code of other packages that the folder names, such as the function of the user's
            own that built the model, may be imported and run.
        model: What the training was given as its model, if that was a Python object and this is another
            process: a function that takes ``classes``, or a module.

    Raises:
        CheckpointError: There is no such model, it is damaged, or its weights do not fit.
        TrustError: The folder names code of another package, and is not trusted.
    """
    checked("load", load, {"path": path, "trust_code": trust_code})
    return load_trusting(path, lambda _: trust_code, model)


def load_trusting(
    path: str | Path, trusts: Callable[[SavedModel], bool], given: Given | None = None
) -> nn.Module:
    """Load a model; ``trusts`` decides from the saved description whether code of other packages may run."""
    home = Path(path)
    if (home / FOLDER / CONFIG).is_file():
        home = home / FOLDER
    for name in (CONFIG, WEIGHTS):
        if not (home / name).exists():
            raise CheckpointError(
                f"{path}: there is no model ({name} is missing). Give the folder of a finished study, or one "
                f"with {WEIGHTS} and {CONFIG}. If it was lost, the command that made the folder makes it "
                "again."
            )
    saved, inputs = read_saved(home / CONFIG)
    state, task = _state(home / WEIGHTS, saved), task_of(saved, inputs)
    if given is not None:
        remember(saved.model, given)
    with reading(home / CONFIG, trusts(saved)):
        model = build_model(
            task, saved.model, spec=saved.spec, start=saved.start, pretrained=saved.pretrained
        )
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise CheckpointError(
            f"{home}: the weights do not fit the model that {CONFIG} names. {error}"
        ) from None
    return equip(model.eval(), task, {**vars(saved), **inputs})


def is_sound(home: Path) -> bool:
    """Return whether a folder holds a saved model whose description and weights can be read."""
    try:
        _state(home / WEIGHTS, read_saved(home / CONFIG)[0])
    except CheckpointError:
        return False
    return True


def equip(model: nn.Module, task: Task, config: dict[str, Any]) -> nn.Module:
    """Give a model its task, the names of its classes and a ``predict`` method."""

    def predict(self: nn.Module, inputs: object, **options: Any) -> Any:
        return task.predict(self, inputs, **options)

    predict.__doc__ = type(task).predict.__doc__
    model.__dict__.update(task=task, classes=task.classes, config=config, predict=MethodType(predict, model))
    return model


def _state(path: Path, saved: SavedModel) -> dict[str, Tensor]:
    """Return the weights, which are those that the description was written for."""
    again = "Run the command that made the folder again, or bring a sound copy of it."
    try:
        state, header = read_tensors(path)
    except (OSError, CheckpointError) as error:
        raise CheckpointError(f"{error} {again}") from None
    if saved.checksum is not None and saved.checksum != (header.get(SUM) or tensor_sum(state)):
        raise CheckpointError(f"{path}: are not the weights that {CONFIG} was written for. {again}")
    broken = [n for n, value in state.items() if value.is_floating_point() and not value.isfinite().all()]
    if broken:
        raise CheckpointError(
            f"{path}: {len(broken)} weights are not finite, such as {broken[0]}. The file "
            f"is damaged, or its training had failed. {again}"
        )
    return state
