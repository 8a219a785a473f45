"""Names of models: the registry of foveate's own networks, and where any other name comes from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from torch import nn

from foveate.calls import parse_call
from foveate.errors import OptionError, UnknownNameError
from foveate.model_names import catalogue, library_names
from foveate.registry import PLUGINS, Registry

# Builds a network with freshly drawn weights from ``classes=...`` and options, all by keyword.
Builder = Callable[..., nn.Module]

models: Registry[Builder] = Registry("model", see="foveate list models")

Source = Literal["foveate", "torchvision", "timm", "import", "python"]
_HUBS = ("hf-hub", "hf_hub", "local-dir")


def resolve(name: str) -> tuple[Source, str]:
    """Return where a model comes from, and its name there without options.

    A bare name is looked up in foveate, torchvision and timm, in this order.

    Raises:
        UnknownNameError: There is no such model.
        OptionError: The name asks for a model described by a hub or a folder.
        SpecError: The options after the name cannot be parsed.

    Example:
        >>> resolve("timm/resnet18(in_chans=1)"), resolve("my_networks:build")
        (('timm', 'resnet18'), ('import', 'my_networks:build'))
    """
    name, _ = parse_call(name)
    if name.removeprefix("timm/").partition(":")[0] in _HUBS:
        raise OptionError(
            f"{name}: models are not built from a description on a hub or in a folder. Name the network, "
            "such as timm/resnet18, and pass its weights with weights=PATH."
        )
    if ":" in name:
        return "import", name
    prefix, _, bare = name.rpartition("/")
    if prefix == "python":
        return "python", bare
    if prefix in ("", "foveate") and bare in models:
        return "foveate", bare
    if prefix in ("", "torchvision") and bare in library_names("torchvision"):
        return "torchvision", bare
    if prefix in ("", "timm") and _in_timm(bare):
        return "timm", bare
    known = [n for names in catalogue(models).values() for n in names]
    if prefix not in ("torchvision", "timm"):  # a typo in a bare name is nearest to bare names
        known = sorted({n.rpartition("/")[2] for n in known})
    raise UnknownNameError("model", name, known, models.see, PLUGINS)


def names_code(name: str) -> bool:
    """Return whether building this model, or one named in its options, runs another package's code."""
    bare, options = parse_call(name)
    nested = (value for value in options.values() if isinstance(value, str) and ":" in value)
    return ":" in bare or any(names_code(value) for value in nested)


def _in_timm(bare: str) -> bool:
    """Return whether timm has a model of this name, with or without a tag, or under a former name."""
    if bare.partition(".")[0] in library_names("timm"):
        return True
    import timm

    return bool(timm.is_model(bare))
