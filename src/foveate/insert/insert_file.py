"""The inserted part alone, as one small file that goes into the same base model elsewhere.

A safetensors file: the weights of what was inserted, and in its header the spec, the start, the versions and
the fingerprint of the base model. The fingerprint is of names and shapes, not of values: the same network
trained further still takes the file.
"""

from __future__ import annotations

import hashlib
import json
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypedDict

import torch
from torch import Tensor, nn

from foveate.errors import CheckpointError, nearest
from foveate.inputs import expect_model
from foveate.insert.host_in_sequence import with_current_names
from foveate.insert.inserted_names import is_inserted_name
from foveate.insert.inserted_parts import insert_config
from foveate.insert.surgery import Start, insert
from foveate.options import read_record
from foveate.tensor_file import read_tensors, save_tensors
from foveate.trust import reading

_FORMAT = "foveate-insert-1"


class _Insert(TypedDict):
    spec: str
    start: Start


class _Header(TypedDict):
    """The header of the file."""

    insert: _Insert
    base: str
    fingerprint: str
    shapes: dict[str, list[int]]


def save_insert(model: nn.Module, path: str | Path) -> Path:
    """Write what was inserted into ``model``, and nothing else of it, to one safetensors file.

    The file appears whole or not at all.

    Args:
        model: A model that ``insert`` made.
        path: Where to write; by custom it ends in ``.safetensors``.

    Raises:
        SiteError: Nothing was inserted into this model.

    Returns:
        The path of the file.
    """
    expect_model(model)
    path = Path(path)
    header = {
        "format": _FORMAT,
        "insert": json.dumps(insert_config(model)),
        "base": type(model).__name__,
        "fingerprint": fingerprint(model),
        "shapes": json.dumps(_plain_shapes(model)),
        "versions": json.dumps({name: version(name) for name in ("foveate", "torch")}),
    }
    try:
        save_tensors(_inserted_state(model), path, header)
    except OSError as error:
        raise CheckpointError(
            f"{path}: cannot be written ({error}). Free some space or choose another path."
        ) from None
    return path


def load_insert(
    model: nn.Module, path: str | Path, *, example: object, trust_code: bool = False
) -> nn.Module:
    """Return a copy of a plain ``model`` with the attention of a file inserted, weights and gates included.

    Args:
        model: The same network as the one that the file was saved from, with any weights.
        path: A file that ``save_insert`` wrote.
        example: What the model takes.
        trust_code: Whether code of other packages that the file names may be imported and run.

    Raises:
        CheckpointError: The file cannot be read, is damaged, or is of another base model; the message names
            what differs.
        SiteError: The sites of the file are not in this model.
        TrustError: The file names code of another package, and is not trusted.
    """
    expect_model(model)
    path = Path(path)
    header, weights = _read(path)
    if header["fingerprint"] != fingerprint(model):
        raise CheckpointError(_differs(model, header, path))
    config = header["insert"]
    with reading(path, trust_code):
        made = insert(model, config["spec"], example=example, start=config["start"])
    expected, weights = _inserted_state(made), with_current_names(made, weights)
    if expected.keys() != weights.keys():
        differing = sorted(expected.keys() ^ weights.keys())
        raise CheckpointError(
            f"{path}: its weights are not those of {config['spec']}: {', '.join(differing[:4])} differ"
        )
    with torch.no_grad():
        for name, value in expected.items():
            if value.shape != weights[name].shape:
                raise CheckpointError(
                    f"{path}: {name} has shape {tuple(weights[name].shape)}, not {tuple(value.shape)}"
                )
            value.copy_(weights[name])
    return made


def fingerprint(model: nn.Module) -> str:
    """Return a hash of the names and shapes of the plain model's state."""
    return hashlib.sha256(json.dumps(_plain_shapes(model), sort_keys=True).encode()).hexdigest()


def _plain_shapes(model: nn.Module) -> dict[str, list[int]]:
    return {name: list(v.shape) for name, v in _tensors(model).items() if not is_inserted_name(name)}


def _inserted_state(model: nn.Module) -> dict[str, Tensor]:
    """Return the weights of what was inserted; those of a module that is used in two places, once."""
    once = {name for name, _ in [*model.named_parameters(), *model.named_buffers()]}
    return {name: v for name, v in _tensors(model).items() if is_inserted_name(name) and name in once}


def _tensors(model: nn.Module) -> dict[str, Tensor]:
    return {name: value for name, value in model.state_dict().items() if isinstance(value, Tensor)}


def _read(path: Path) -> tuple[_Header, dict[str, Tensor]]:
    """Return header and weights of a file that ``save_insert`` wrote."""
    try:
        weights, words = read_tensors(path)
    except FileNotFoundError:
        raise CheckpointError(f"{path} cannot be read: there is no such file. Check the path") from None
    if words.get("format") != _FORMAT:
        raise CheckpointError(
            f"{path}: got format {words.get('format')!r}, expected {_FORMAT!r}: "
            "a file that fv.save_insert wrote"
        )
    advice = "It is damaged, or fv.save_insert did not write it: use an intact copy."
    plain: dict[str, Any] = dict(words)
    for name in {"insert", "shapes"} & plain.keys():
        try:
            plain[name] = json.loads(words[name])
        except (ValueError, RecursionError):
            raise CheckpointError(f"{path}: {name} in its header is not JSON. {advice}") from None
    return read_record(_Header, plain, path, CheckpointError, advice), weights


def _differs(model: nn.Module, header: _Header, path: Path) -> str:
    """Say how a model differs from the base model of a file."""
    theirs, ours = header["shapes"], _plain_shapes(model)
    text = f"{path} was saved from a {header['base']} with other parameters than this {type(model).__name__}"
    missing = [name for name in theirs if name not in ours]
    if missing:
        return f"{text}: {missing[0]} is missing here. {nearest(missing[0], ours)}"
    for name, shape in theirs.items():
        if ours[name] != shape:
            return (
                f"{text}: {name} is {shape} there and {ours[name]} here. Build the model as it was built then"
            )
    more = [name for name in ours if name not in theirs]
    if not more:
        return f"{path}: its header contradicts itself: it is damaged. Use an intact copy of the file"
    return f"{text}: {more[0]} is not in the file's"
