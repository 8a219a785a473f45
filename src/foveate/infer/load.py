"""A trained model with all it takes to use it: what its folder says of it, and loading it again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from types import MethodType
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor, nn

from foveate.compare.build import rebuild
from foveate.data.base import ImageData
from foveate.data.canvas import Canvas
from foveate.data.images.decode import read, read_square, square, upright_rgb
from foveate.data.images.levels import SIXTEEN
from foveate.data.images.open_image import MOST_PIXELS, Reading
from foveate.errors import CheckpointError, DataError, ShapeError
from foveate.infer.saved import CONFIG, SavedModel, read_saved
from foveate.models.given import Given, remember
from foveate.models.normalisation import expect_normalisation
from foveate.options import checked
from foveate.running import asking, device_of
from foveate.segment.segment_picture import segment
from foveate.tasks.base import tasks
from foveate.tasks.cards.labelled_pictures import normalised
from foveate.tensor_file import SUM, read_tensors, tensor_sum
from foveate.train.evaluate import Triple
from foveate.train.result import WEIGHTS
from foveate.trust import reading

FOLDER = "best"
_BATCH = 64


def description(
    task: str, data: ImageData, size: Canvas, normalisation: tuple[Triple, Triple]
) -> dict[str, Any]:
    """Return what ``config.json`` says of the data that a model was trained on and of how to ask the model.

    Args:
        task: The task's name.
        data: What the model was trained on.
        size: Height and width that the images were brought to.
        normalisation: Mean and deviation that the model expects.
    """
    mean, std = normalisation
    return {
        "format": 1,
        "task": task,
        "classes": list(data.classes),
        "palette": data.colours.tolist() if data.truth == "mask" else None,
        "size": list(size),
        "example": [1, 3, *size],
        "normalisation": {"mean": list(mean), "std": list(std)},
        "levels": None if data.levels is None else list(data.levels),
    }


def reading_of(config: Mapping[str, Any], max_pixels: int = MOST_PIXELS) -> Reading:
    """Return how pictures are read for a model: as those that it was trained on.

    Args:
        config: What ``description`` returned; older ones do not speak of levels.
        max_pixels: Pixels of the largest picture that is decoded.
    """
    levels = config.get("levels", SIXTEEN)
    return Reading(None if levels is None else (levels[0], levels[1]), max_pixels)


def load(path: str | Path, *, trust_code: bool = False, model: Given | None = None) -> nn.Module:
    """Return a trained model from a study's folder, or from a folder with its weights and ``config.json``.

    The model is in evaluation mode. It has ``.classes`` (names in the order of its outputs), ``.config`` (all
    that is known about it) and ``.predict(images)``, which takes paths, pictures or arrays (H, W, 3) uint8,
    brings them to the model's size and normalisation, and returns probabilities (N, classes); a network that
    segments returns those of the pixels, (K, H, W) for each picture, at its own size.

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
    """Return what ``load`` returns; ``trusts`` decides when it has seen what the folder names."""
    home = Path(path)
    if (home / FOLDER / CONFIG).is_file():
        home = home / FOLDER
    for name in (CONFIG, WEIGHTS):
        if not (home / name).exists():
            raise CheckpointError(
                f"{path}: no model is there ({name} is missing). Give the folder of a finished study, or one "
                f"with {WEIGHTS} and {CONFIG}. If it was lost, the command that made the folder makes it "
                "again."
            )
    saved, config = read_saved(home / CONFIG)
    expect_normalisation(saved.normalisation["mean"], saved.normalisation["std"])
    state = _state(home / WEIGHTS, saved)
    if given is not None:
        remember(saved.model, given)
    with reading(home / CONFIG, trusts(saved)):
        model = rebuild(saved)
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise CheckpointError(
            f"{home}: the weights do not fit the model that {CONFIG} names. {error}"
        ) from None
    return equip(model.eval(), {**config, "classes": list(saved.classes), "size": list(saved.canvas)})


def is_sound(home: Path) -> bool:
    """Return whether a folder holds a saved model whose description and weights can be read."""
    try:
        _state(home / WEIGHTS, read_saved(home / CONFIG)[0])
    except CheckpointError:
        return False
    return True


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
            f"{path}: {len(broken)} weights hold numbers that are not finite, such as {broken[0]}. The file "
            f"is damaged, or its training had failed. {again}"
        )
    return state


def equip(model: nn.Module, config: Mapping[str, Any]) -> nn.Module:
    """Give a model its class names and a way to be asked."""
    for name, value in (
        ("classes", tuple(config["classes"])),
        ("config", dict(config)),
        ("predict", MethodType(predict, model)),
    ):
        model.__dict__[name] = value
    return model


def predict(model: nn.Module, images: object, *, max_pixels: int = MOST_PIXELS) -> Tensor | list[Tensor]:
    """Return probabilities for pictures: (N, classes), or of a network that segments a list of (K, H, W).

    Args:
        model: What ``load`` returned.
        images: A path, a picture, an array (H, W, 3) or (N, H, W, 3) uint8, or a sequence of such.
        max_pixels: Pixels of the largest file that is decoded.

    Raises:
        ShapeError: Something else came.
        DataError: A file cannot be read.
    """
    found = []
    for answer in answers(model, _each(images), max_pixels=max_pixels):
        if isinstance(answer, DataError):
            raise answer
        found.append(answer)
    if is_segmenter(model):
        return found
    return torch.stack(found) if found else torch.zeros(0, len(model.__dict__["config"]["classes"]))


def answers(
    model: nn.Module, images: Iterable[object], *, max_pixels: int = MOST_PIXELS
) -> Iterator[Tensor | DataError]:
    """Yield what a model says of each picture in turn, or what is wrong with its file.

    Only a batch of pictures is in memory at a time.

    Args:
        model: What ``load`` returned.
        images: Paths, pictures or arrays.
        max_pixels: Pixels of the largest file that is decoded.

    Raises:
        ShapeError: Something else came.
    """
    config: Mapping[str, Any] = model.__dict__["config"]
    mean, std = (tuple(config["normalisation"][key]) for key in ("mean", "std"))
    task, size = tasks[config["task"]](config["classes"]), tuple(config["size"])
    how = reading_of(config, max_pixels)
    if task.truth == "mask":
        for image in images:
            pixels = _opened(image, None, how)
            yield (
                pixels
                if isinstance(pixels, DataError)
                else segment(model, pixels, size=size, mean=mean, std=std)
            )
        return
    rest = iter(images)
    while opened := [_opened(image, size[0], how) for image in islice(rest, _BATCH)]:
        good = [pixels for pixels in opened if not isinstance(pixels, DataError)]
        rows = iter(())
        if good:
            with asking(model):
                batch = np.stack(good).transpose(0, 3, 1, 2)
                rows = iter(task.predict(model(normalised(batch, mean, std, device_of(model)))).cpu())
        for pixels in opened:
            yield pixels if isinstance(pixels, DataError) else next(rows)


def is_segmenter(model: nn.Module) -> bool:
    """Return whether a model that ``load`` returned answers for every pixel."""
    config = model.__dict__["config"]
    return tasks[config["task"]](model.__dict__["classes"]).truth == "mask"


def _each(images: object) -> Sequence[object]:
    if isinstance(images, np.ndarray) and images.ndim == 4:
        return list(images)
    return list(images) if isinstance(images, list | tuple) else [images]


def _opened(image: object, side: int | None, how: Reading) -> UInt8[np.ndarray, "h w 3"] | DataError:
    try:
        return _pixels(image, side, how)
    except DataError as error:
        return error


def _pixels(image: object, side: int | None, how: Reading) -> UInt8[np.ndarray, "h w 3"]:
    """Return one picture, whole, or cut square like the images that the model was trained on."""
    if isinstance(image, str | Path):
        return read(Path(image), how) if side is None else read_square(Path(image), side, how)
    if isinstance(image, Image.Image):
        picture = upright_rgb(image, how.levels)
        return np.asarray(picture) if side is None else square(picture, side)
    if isinstance(image, np.ndarray) and image.ndim == 3 and image.shape[2] == 3 and image.dtype == np.uint8:
        return image if side is None else square(image, side)
    what = f"an array {image.shape} {image.dtype}" if isinstance(image, np.ndarray) else type(image).__name__
    raise ShapeError(f"predict: got {what}, expected a path, a PIL picture or uint8 (H, W, 3)")
