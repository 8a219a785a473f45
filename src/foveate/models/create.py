"""Models by name: create them, list them, and look up the normalisation they expect."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path

from torch import nn

from foveate.calls import parse_call
from foveate.errors import FoveateError, OptionError
from foveate.model_names import matching
from foveate.models.form import check_form, keep_form
from foveate.models.given import build_given, import_model
from foveate.models.library import packaged_weights, timm_model, torchvision_model, torchvision_weights
from foveate.models.names import Source, models, resolve
from foveate.models.normalisation import (
    HALF,
    Triple,
    expect_normalisation,
    keep_normalisation,
    timm_normalisation,
    torchvision_normalisation,
)
from foveate.models.weight_names import translated
from foveate.models.weights import put_weights, read_weights
from foveate.options import checked, flag, whole
from foveate.trust import may_download


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
        name: One of foveate's own (``resnet8``, ``resnet20``), ``torchvision/NAME`` or ``timm/NAME``; a bare
            name is looked up in this order. Or ``package.module:function`` for your own model: it is imported
            and called with ``classes=...``. Options may follow the name: ``unet(encoder=timm/resnet18)``.
        classes: Length of the output.
        pretrained: Fetch the published weights, the way timm and torchvision do; a head of another length
            starts from scratch. For a segmentation network, the weights of its encoder.
        weights: A file of weights to load instead (safetensors, or a PyTorch file); the head may differ.
        options: Passed to the builder of the model.

    Raises:
        UnknownNameError: There is no such model.
        OptionError: The builder does not know an option, or both ``pretrained`` and ``weights`` are given.
        SpecError: The options after the name cannot be parsed.
        CheckpointError: The weights cannot be fetched or read, or do not fit.
        TrustError: The name was read from a file, and building it would run code that the caller does not
            trust.

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
        _load(model, Path(weights), classes)
    return model


def list_models(pattern: str = "*") -> list[str]:
    """Return the names of models that match a wildcard pattern, foveate's own first.

    Args:
        pattern: Matched against the whole name (``timm/resnet*``) and the part after the slash
            (``resnet*``).

    Example:
        >>> list_models("resnet?")
        ['resnet8']
    """
    checked("list_models", list_models, {"pattern": pattern})
    return matching(pattern, models)


def named_normalisation(name: str) -> tuple[Triple, Triple]:
    """Return (mean, std) for images in [0, 1], by the name of a model: those of its published weights.

    A model without published weights, such as foveate's own, gets 0.5 and 0.5.

    Args:
        name: A name that ``create_model`` takes.

    Raises:
        UnknownNameError: There is no such model.

    Example:
        >>> named_normalisation("resnet8")
        ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    """
    source, bare = resolve(name)
    known = {"timm": timm_normalisation, "torchvision": torchvision_normalisation}.get(source)
    return expect_normalisation(*known(bare)) if known else (HALF, HALF)


def _load(model: nn.Module, path: Path, classes: int) -> None:
    """Load a file of weights; a head for another number of classes keeps its fresh weights.

    Raises:
        CheckpointError: The file cannot be read, something other than the head does not fit, or the file says
            that it is for another form of the network.
    """
    check_form(model, path, models)
    put_weights(model, translated(read_weights(path), model), classes, origin=str(path))


def _own(name: str, classes: int, pretrained: bool, options: Mapping[str, object]) -> nn.Module:
    on_encoder = {"encoder", "pretrained_encoder"} & {*inspect.signature(models[name]).parameters, *options}
    if pretrained and not on_encoder:
        raise OptionError(f"{name} has no published weights. Train it from scratch, or pass weights=PATH.")
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


def _timm(name: str, classes: int, pretrained: bool, options: Mapping[str, object]) -> nn.Module:
    pretrained = pretrained and may_download()
    packaged = packaged_weights(name) if pretrained else None
    model = timm_model(name, classes, pretrained and packaged is None, options)
    if packaged is not None:
        _load(model, packaged, classes)
    return model


def _torchvision(name: str, classes: int, pretrained: bool, options: Mapping[str, object]) -> nn.Module:
    model = torchvision_model(name, classes, options)
    keep_normalisation(model, *torchvision_normalisation(name))
    if pretrained and may_download():
        state, origin = torchvision_weights(name)
        put_weights(model, state, classes, origin)
    return model


def _imported(name: str, classes: int, pretrained: bool, options: Mapping[str, object]) -> nn.Module:
    fetch = pretrained and may_download()
    return import_model(name, classes, {**options, "pretrained": True} if fetch else options)


_BUILDERS: dict[Source, Callable[[str, int, bool, Mapping[str, object]], nn.Module]] = {
    "foveate": _own,
    "torchvision": _torchvision,
    "timm": _timm,
    "import": _imported,
    "python": build_given,
}
