"""Which form of a network a file of weights is for: its options, not all of which show in the shapes."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import nn

from foveate.calls import parse_call, printed
from foveate.errors import CheckpointError, SpecError
from foveate.mechanisms.base import mechanisms, options_of

METADATA = "foveate.model"  # the entry of a safetensors file's header
_ATTRIBUTE = "foveate_form"
_CONFIG = "config.json"  # beside the weights, from before the header had the entry
# Options that do not change what a trained network computes, or that are meant to be changed afterwards.
_TRAINING = {
    *("pretrained_encoder", "in_channels", "dropout", "side", "aux_width", "trainable", "twice"),
    *("doubly_stochastic", "normalised", "target"),
    *("place_std", "reinforce_weight", "first_place", "draws", "entropy"),
}
_FREE = _TRAINING | {"iterations", "inference_iterations", "method"}


def keep_form(model: nn.Module, name: str, options: Mapping[str, object]) -> None:
    """Store on one of foveate's networks how it was created; copies of it keep it."""
    inner = ", ".join(f"{option}={printed(value)}" for option, value in options.items())
    text = f"{name}({inner})" if inner else name
    try:
        parse_call(text)
    except SpecError:  # an option that cannot be written as text
        return
    setattr(model, _ATTRIBUTE, text)


def form_of(model: nn.Module) -> dict[str, str]:
    """Return the metadata for a file of the model's weights; empty for networks that are not foveate's."""
    text = getattr(model, _ATTRIBUTE, None)
    return {METADATA: text} if isinstance(text, str) else {}


def check_form(model: nn.Module, path: Path, builders: Mapping[str, Callable[..., nn.Module]]) -> None:
    """Raise if a file says that its weights are for another form of the same network.

    Args:
        model: The network.
        path: A file of weights.
        builders: What builds foveate's networks, by name; their signatures give the default options.

    Raises:
        CheckpointError: They are; the text names the option.
    """
    here, there = getattr(model, _ATTRIBUTE, None), _stated(path)
    if not isinstance(here, str) or there is None:
        return
    (name, mine), (other, theirs) = parse_call(here), there
    if name != other:
        return
    known = _defaults(builders[name], model)
    for option in sorted({*mine, *theirs} - _FREE):
        values = [given.get(option, known.get(option)) for given in (mine, theirs)]
        if values[0] != values[1]:
            raise CheckpointError(
                f"{path} holds the weights of {name} with {option}={printed(values[1])}, this one has "
                f"{option}={printed(values[0])}: they may fit in shape, but mean something else. Create it "
                f"with {option}={printed(values[1])}."
            )


def _stated(path: Path) -> tuple[str, dict[str, object]] | None:
    """Return the name and options of a network that a file gives, or config.json beside it."""
    try:
        text = _in_header(path) or _beside(path)
        name, options = parse_call(text) if text else ("", {})
    except (OSError, ValueError, SafetensorError, SpecError):
        return None
    return name.removeprefix("foveate/"), options


def _in_header(path: Path) -> str | None:
    if path.suffix != ".safetensors":
        return None
    with safe_open(path, framework="pt") as file:
        return (file.metadata() or {}).get(METADATA)


def _beside(path: Path) -> str | None:
    config: Any = json.loads((path.parent / _CONFIG).read_text(encoding="utf-8"))
    text = config.get("model") if isinstance(config, dict) and config.get("classes") else None
    return text if isinstance(text, str) and path.name == "model.safetensors" else None


def _defaults(builder: Callable[..., nn.Module], model: nn.Module) -> dict[str, object]:
    """Return a network's default options, and those of its mechanism."""
    own = {n: p.default for n, p in inspect.signature(builder).parameters.items()}
    mechanism = getattr(model, "mechanism", None)
    inner = options_of(mechanisms[mechanism]) if isinstance(mechanism, str) else {}
    return {**inner, **own}
