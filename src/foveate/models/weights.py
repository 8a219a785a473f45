"""Files of weights: read them, and put them into a model whose head may differ.

Safetensors files, NumPy's .npz and PyTorch files are read (weights only: nothing in them is executed), also
if the weights are nested under ``state_dict`` or the like, or if DataParallel or torch.compile has prefixed
every name.
"""

from __future__ import annotations

import argparse
import collections
import functools
import logging
import pathlib
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from foveate.errors import CheckpointError, in_one_line, nearest
from foveate.models.array_file import load_arrays
from foveate.tensor_file import load_tensors

_NESTS = ("state_dict_ema", "state_dict", "model_state_dict", "model_state", "model", "weights")
_PREFIXES = ("module.", "_orig_mod.")
_PATHS = ("Path", "PosixPath", "WindowsPath", "PurePath", "PurePosixPath", "PureWindowsPath")
_CONTAINERS = (set, frozenset, list, dict, tuple, collections.defaultdict)  # that settings may hold
_BOX_HEADS = re.compile(r"roi_heads\.box_predictor\.|(^|\.)head\.classification_head\.")
"""Where torchvision's detectors have several outputs a class: for each anchor, or each side of a box."""
_SHOWN = 5  # misfits of one kind that a message names
_log = logging.getLogger("foveate")


def read_weights(path: Path) -> dict[str, Tensor]:
    """Return the weights in a file by name.

    Raises:
        CheckpointError: There is no such file, or it holds no weights.
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: there is no such file of weights")
    if path.suffix == ".npz":
        return load_arrays(path)
    try:
        content: Any = load_tensors(path) if path.suffix == ".safetensors" else _loaded(path)
    except pickle.UnpicklingError as error:  # its text advises to run the file's code
        raise CheckpointError(f"{path} {_pickled(error)}") from None
    except Exception as error:
        raise CheckpointError(
            f"{path} cannot be read as weights ({in_one_line(error)}). Expected a "
            "safetensors file, or a PyTorch file of tensors: torch.save(model.state_dict(), path)."
        ) from error
    for nest in _NESTS:
        if isinstance(content, Mapping) and isinstance(content.get(nest), Mapping):
            content = content[nest]
            break
    if not isinstance(content, Mapping) or not all(isinstance(value, Tensor) for value in content.values()):
        raise CheckpointError(
            f"{path} holds a {type(content).__name__}, expected tensors by name: "
            "torch.save(model.state_dict(), path)."
        )
    return _without_prefix({str(name): value for name, value in content.items()})


def _loaded(path: Path) -> Any:
    """Return the content of a PyTorch file: tensors, and scores, settings and paths often saved with them.

    All of these are data: nothing in the file is executed.
    """
    scalar: Any = np.float64(0).__reduce__()[0]
    names = [f"numpy.{core}.multiarray.scalar" for core in ("core", "_core")]
    kinds = [type(np.dtype(kind)) for kind in ("float32", "float64", "int64")]
    paths = [(pathlib.PurePath, f"pathlib.{name}") for name in _PATHS]
    settings: list[Any] = [argparse.Namespace, *paths, *_CONTAINERS]
    with torch.serialization.safe_globals([*((scalar, name) for name in names), np.dtype, *kinds, *settings]):
        return torch.load(path, "cpu", weights_only=True)


def put_weights(model: nn.Module, state: Mapping[str, Tensor], classes: int, origin: str) -> tuple[str, ...]:
    """Put weights into ``model``, all but a head for another number of classes.

    Args:
        model: Receives the weights.
        state: Weights by the names that ``model`` uses.
        classes: Outputs of ``model``.
        origin: Where the weights come from, for messages.

    Returns:
        The names that were left out; the log names them too.

    Raises:
        CheckpointError: Something other than the head does not fit, or a weight is not finite.
    """
    head = _head(model, state, classes)
    own = model.state_dict()
    # Files from before PyTorch 0.4.1 do not count batches; nothing computes with the number.
    missing = [name for name in own if name not in state and not name.endswith(".num_batches_tracked")]
    foreign = [name for name in state if name not in own]
    shapes = [n for n in own if n in state and n not in head and state[n].shape != own[n].shape]
    if missing or foreign or shapes:
        raise CheckpointError(
            f"{origin} does not fit the model. {_misfits(missing, foreign, shapes, state, own)}"
        )
    expect_finite(state, origin)
    model.load_state_dict({n: value for n, value in state.items() if n not in head}, strict=False)
    if head:
        _log_left_out(origin, head)
    for path in sorted({name.rpartition(".")[0] for name in head}):
        narrow(model.get_submodule(path))
    return head


@torch.no_grad()
def narrow(head: nn.Module) -> None:
    """Draw a fresh head again that is too wide for features that are trained already.

    Some networks, such as timm's EfficientNets, draw a head for training from scratch, with a width that
    falls with the number of classes: for two classes, logits of trained features would begin at ±30, and
    fine-tuning has to undo them first. PyTorch's usual width falls with the number of features.

    Args:
        head: A layer. One without features, or not far beyond the usual width, stays as it is.
    """
    if isinstance(head, nn.Linear | nn.Conv2d) and head.weight[0].numel() > 0:
        usual = head.weight[0].numel() ** -0.5  # PyTorch draws evenly between minus and plus this
        if float(head.weight.std(correction=0)) > usual:
            head.reset_parameters()


def expect_finite(state: Mapping[str, Tensor], origin: str) -> None:
    """Raise unless all weights are finite.

    Args:
        state: Weights by name.
        origin: Where they come from, for the message.

    Raises:
        CheckpointError: Some are nan or infinite; the text names the first few.
    """
    broken = [n for n, value in state.items() if value.is_floating_point() and not value.isfinite().all()]
    if broken:
        raise CheckpointError(
            f"{origin}: {len(broken)} weights are not finite (nan or inf), such as {_some(broken)}. The "
            "training that wrote them had failed; use an earlier checkpoint."
        )


@functools.cache  # once: a study creates the same model for every run
def _log_left_out(origin: str, head: tuple[str, ...]) -> None:
    _log.warning("%s: left out %s, made for another number of classes", origin, ", ".join(head))


def _pickled(error: pickle.UnpicklingError) -> str:
    """Return why PyTorch refused a file, without its advice to run the file's code."""
    named = re.search(r"(?:GLOBAL|class) ([\w.]+)", str(error))
    if named is None:
        return (
            "cannot be read as weights: it is damaged, or not a file of tensors. Expected a safetensors "
            "file, or a PyTorch file of tensors: torch.save(model.state_dict(), path)."
        )
    return (
        f"cannot be read as weights: besides tensors it holds {named[1]}, code that would have to run, and "
        "foveate runs no code that a file of weights names. Where the model was made, save its tensors "
        "only: torch.save(model.state_dict(), path), or a safetensors file."
    )


def _without_prefix(state: dict[str, Tensor]) -> dict[str, Tensor]:
    for prefix in _PREFIXES:
        if state and all(name.startswith(prefix) for name in state):
            return _without_prefix({name.removeprefix(prefix): value for name, value in state.items()})
    return state


def _head(model: nn.Module, state: Mapping[str, Tensor], classes: int) -> tuple[str, ...]:
    """Return the weights of layers that end in ``classes`` outputs here and in another number there.

    Those of a detector may have several outputs a class.
    """
    own = model.state_dict()
    heads = [
        path
        for path, module in model.named_modules()
        if _outputs(module) == classes or (_BOX_HEADS.search(path) and (_outputs(module) or 1) % classes == 0)
    ]
    names = [f"{path}.{part}" if path else part for path in heads for part in ("weight", "bias")]
    differ = [n for n in names if n in own and n in state and state[n].shape != own[n].shape]
    fits = all(state[n].shape[1:] == own[n].shape[1:] for n in differ)
    one_number = len({state[n].shape[0] * classes / own[n].shape[0] for n in differ}) == 1
    return tuple(differ) if fits and one_number else ()


def _outputs(module: nn.Module) -> int | None:
    if isinstance(module, nn.Linear):
        return module.out_features
    return module.out_channels if isinstance(module, nn.Conv2d) else None


def _misfits(
    missing: list[str],
    foreign: list[str],
    shapes: list[str],
    state: Mapping[str, Tensor],
    own: Mapping[str, Tensor],
) -> str:
    """Return a sentence for each kind of misfit, with the first few of its kind."""
    parts = []
    if missing:
        parts.append(
            f"{len(missing)} weights are missing, such as {_some(missing)}. {nearest(missing[0], foreign)}"
        )
    if foreign:
        parts.append(
            f"{len(foreign)} are not in the model, such as {_some(foreign)}. {nearest(foreign[0], missing)}"
        )
    if shapes:
        differ = [
            f'"{name}": {tuple(state[name].shape)} in the file, {tuple(own[name].shape)} in the model'
            for name in shapes[:_SHOWN]
        ]
        parts.append(f"{len(shapes)} have another shape, such as {'; '.join(differ)}.")
    return " ".join(parts) + " Is it the same model, with the same options?"


def _some(names: list[str]) -> str:
    return ", ".join(f'"{name}"' for name in names[:_SHOWN])
