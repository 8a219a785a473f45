"""The model that a user names, whatever the name stands for, ready to be asked about pictures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from foveate.data.images.open_image import USUAL
from foveate.data.picture_form import PictureForm
from foveate.errors import CheckpointError, OptionError, ShapeError, SpecError, UnknownNameError
from foveate.infer.load import load
from foveate.infer.saved import CONFIG, FOLDER
from foveate.models.create import create_model
from foveate.models.made_for import made_for
from foveate.models.names import resolve
from foveate.models.normalisation import model_normalisation
from foveate.options import whole
from foveate.recipe import LONGEST_SIDE

IMAGENET = 1000


@dataclass(frozen=True)
class FoundModel:
    """A model, and what is known about it.

    Args:
        name: What the user wrote.
        model: In evaluation mode.
        form: What it expects of pictures; ``data.prepare_pictures`` makes them so.
        classes: Names of its outputs in order; empty if nobody knows them.
    """

    name: str
    model: nn.Module
    form: PictureForm
    classes: tuple[str, ...] = ()


def find_model(
    name: str | Path,
    *,
    size: int | None = None,
    classes: int = IMAGENET,
    weights: str | Path | None = None,
    untrained: bool = False,
    trust_code: bool = False,
) -> FoundModel:
    """Return the model that a name stands for.

    Args:
        name: The folder of a study, or of one training; or a name that ``create_model`` takes: of timm, of
            torchvision, of foveate, or ``package.module:function``. Models of timm and torchvision get their
            published weights, as far as they are on this machine or can be fetched.
        size: Side of the pictures in pixels; the model's own by default.
        classes: How many classes a model that is created by name has.
        weights: A file of weights for a model that is created by name.
        untrained: Leave a model that is created by name with weights drawn at random.
        trust_code: Whether code of other packages that a folder names may run; see ``load``.

    Raises:
        CheckpointError: There are no weights, or they do not fit.
        UnknownNameError: Neither is there such a folder, nor such a model.
        OptionError: An option does not go with what the name stands for.
        ShapeError: The model does not take pictures.
        TrustError: The folder names code of another package, and is not trusted.
    """
    if _is_folder(name):
        folder = Path(name).expanduser()
        return _from_folder(folder, trust_code, size=size, weights=weights, untrained=untrained)
    text = str(name)
    source, bare = resolve(text)
    if weights is not None and untrained:
        raise OptionError("weights=... and untrained=True are both given; choose one")
    published = source in ("timm", "torchvision")
    if source == "foveate" and weights is None and not untrained:
        raise CheckpointError(
            f"{bare} has no published weights. Give the folder of a study or of a training, or pass "
            "weights=PATH; or untrained=True for weights drawn at random."
        )
    model = create_model(
        text, classes=classes, pretrained=published and weights is None and not untrained, weights=weights
    )
    side = made_for(text, model) if size is None else whole("size", size, most=LONGEST_SIDE)
    named = imagenet_classes() if published and not untrained and weights is None else ()
    return FoundModel(
        text,
        model.eval(),
        PictureForm((side, side), *model_normalisation(model), levels=USUAL.levels),
        named if len(named) == classes else (),
    )


def imagenet_classes() -> tuple[str, ...]:
    """Return what the 1000 outputs of a network trained on ImageNet stand for, in a few words each."""
    from timm.data.imagenet_info import ImageNetInfo

    known = ImageNetInfo("imagenet-1k")
    return tuple(str(known.index_to_description(number)) for number in range(known.num_classes()))


def _is_folder(name: str | Path) -> bool:
    """Return whether a name means a folder and not a model that is created by name.

    Raises:
        UnknownNameError, SpecError: It means neither.
    """
    path = Path(name)
    if isinstance(name, Path) or any((path / folder / CONFIG).is_file() for folder in (".", FOLDER)):
        return True
    try:
        resolve(name)
    except (UnknownNameError, SpecError):
        if path.exists() or name.startswith((".", "/", "~")):
            return True  # loading says what is missing there
        raise
    return False


def _from_folder(path: Path, trust_code: bool, **options: object) -> FoundModel:
    for option, value in options.items():
        if value:
            raise OptionError(
                f"{path}: {option} is for models that are created by name; this folder holds a trained one, "
                "with its own. Leave it out."
            )
    model: Any = load(path, trust_code=trust_code)
    form = model.task.picture_form()
    if form is None:
        raise ShapeError(
            f"{path}: this model is for {model.task.name}. Its input is not pictures alone, so it cannot be "
            "asked this way."
        )
    return FoundModel(str(path), model, form, tuple(model.task.classes))
