"""Models by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

from torch import nn

from foveate.calls import parse_call
from foveate.errors import FoveateError, OptionError, UnknownNameError
from foveate.model_names import catalogue, library_names, matching
from foveate.models.base import models
from foveate.models.form import keep_form
from foveate.models.given import PREFIX, build_given
from foveate.models.imported import import_model
from foveate.models.library import from_timm, from_torchvision
from foveate.models.weights import load_weights
from foveate.options import checked, flag, whole
from foveate.trust import may_download

Source = Literal["foveate", "torchvision", "timm", "import", "python"]
_HUBS = ("hf-hub", "hf_hub", "local-dir")


def create_model(
    name: str,
    *,
    classes: int = 1000,
    pretrained: bool = False,
    weights: Path | str | None = None,
    **options: object,
) -> nn.Module:
    """Return a model by name.

    Args:
        name: foveate's own (``resnet8``, ``resnet20``), ``torchvision/NAME``, ``timm/NAME``; a bare name is
            looked for in this order. Or ``package.module:function``, imported and called with
            ``classes=...``, for the user's own. Options may stand behind the name:
            ``unet(encoder=timm/resnet18)``.
        classes: Length of the output.
        pretrained: Fetch the published weights, as timm and torchvision do it; a head of another length
            starts anew. Of a segmentation network, those of its encoder.
        weights: A file of weights to load instead (safetensors, or a PyTorch file); the head may differ.
        options: Passed on to whoever builds the model.

    Raises:
        UnknownNameError: There is no such model.
        OptionError: The builder does not know an option, or both ``pretrained`` and ``weights`` are given.
        SpecError: The options behind the name cannot be read.
        CheckpointError: The weights cannot be fetched or read, or do not fit.
        TrustError: The name was read from a file, and would run code that the caller does not trust.

    Example:
        >>> sum(p.numel() for p in create_model("resnet20", classes=10).parameters())
        269722
    """
    given = {"name": name, "classes": classes, "pretrained": pretrained, "weights": weights}
    checked("create_model", create_model, given)
    whole("classes", classes, 0)
    if pretrained and weights is not None:
        raise OptionError(
            "pretrained=True and weights=... are both given; the weights can come from one place only"
        )
    source, bare = resolve(name)
    written = {**parse_call(name)[1], **options}
    pretrained = flag("pretrained", written.pop("pretrained", pretrained))  # type: ignore[arg-type]
    model = _BUILDERS[source](bare, classes, pretrained, written)
    if weights is not None:
        load_weights(model, Path(weights), classes)
    return model


def list_models(pattern: str = "*") -> list[str]:
    """Return the names of models that match a pattern with wildcards, foveate's own first.

    Args:
        pattern: Compared with the whole name (``timm/resnet*``) and with the part after the slash
            (``resnet*``).

    Example:
        >>> list_models("resnet?")
        ['resnet8']
    """
    checked("list_models", list_models, {"pattern": pattern})
    return matching(pattern, models)


def resolve(name: str) -> tuple[Source, str]:
    """Return where a model comes from, and its name there without options.

    Raises:
        UnknownNameError: There is no such model.
        SpecError: The options behind the name cannot be read.
    """
    name, _ = parse_call(name)
    if name.removeprefix("timm/").partition(":")[0] in _HUBS:
        raise OptionError(
            f"{name}: models are not built from a hub's or a folder's own description. Name the network, "
            "such as timm/resnet18, and give its weights with weights=PATH."
        )
    if ":" in name:
        return "import", name
    prefix, _, bare = name.rpartition("/")
    if prefix == PREFIX:
        return "python", bare
    if prefix in ("", "foveate") and bare in models:
        return "foveate", bare
    if prefix in ("", "torchvision") and bare in library_names("torchvision"):
        return "torchvision", bare
    if prefix in ("", "timm") and _is_of_timm(bare):
        return "timm", bare
    known = [n for names in catalogue(models).values() for n in names]
    if prefix not in ("torchvision", "timm"):  # a slip in a bare name is nearest to bare names
        known = sorted({n.rpartition("/")[2] for n in known})
    raise UnknownNameError("model", name, known, see="foveate list models")


def names_code(name: str) -> bool:
    """Return whether building a model of this name runs code of another package, also behind its options."""
    bare, options = parse_call(name)
    nested = (value for value in options.values() if isinstance(value, str) and ":" in value)
    return ":" in bare or any(names_code(value) for value in nested)


def _is_of_timm(bare: str) -> bool:
    """Return whether timm has a model of this name, with a tag or without, or under an earlier name."""
    if bare.partition(".")[0] in library_names("timm"):
        return True
    import timm

    return bool(timm.is_model(bare))


def _own(name: str, classes: int, pretrained: bool, options: Mapping[str, object]) -> nn.Module:
    on_encoder = {"encoder", "pretrained_encoder"} & {*inspect.signature(models[name]).parameters, *options}
    if pretrained and not on_encoder:
        raise OptionError(f"{name} has no published weights. Train it from scratch, or write weights=PATH.")
    options = {**options, "pretrained_encoder": True} if pretrained else options
    options = checked(name, models[name], options)
    try:
        model = models[name](classes=classes, **options)
    except OptionError as error:
        raise OptionError(f"{name}: {error}") from error
    except FoveateError:
        raise
    except Exception as error:  # two options that do not go together, or more memory than there is
        if not options:
            raise
        written = ", ".join(f"{key}={value!r}" for key, value in options.items())
        raise OptionError(f"{name} cannot be built with {written}: {error}") from error
    keep_form(model, name, options)
    return model


def _imported(name: str, classes: int, pretrained: bool, options: Mapping[str, object]) -> nn.Module:
    fetch = pretrained and may_download()
    return import_model(name, classes, {**options, "pretrained": True} if fetch else options)


_BUILDERS: dict[Source, Callable[[str, int, bool, Mapping[str, object]], nn.Module]] = {
    "foveate": _own,
    "torchvision": from_torchvision,
    "timm": from_timm,
    "import": _imported,
    "python": build_given,
}
