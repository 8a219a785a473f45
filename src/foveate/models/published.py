"""Published checkpoints, loaded into foveate's networks whatever names their authors gave to the weights."""

from __future__ import annotations

import logging
from pathlib import Path

from torch import Tensor, nn

from foveate.mechanisms.base import Mechanism
from foveate.models.form import check_form
from foveate.models.names import models
from foveate.models.normalisation import keep_normalisation
from foveate.models.weight_names import translated
from foveate.models.weights import put_weights, read_weights

_log = logging.getLogger("foveate")


def load_published(model: nn.Module, path: Path | str) -> tuple[str, ...]:
    """Load a published checkpoint into a model of the same network.

    Names, shapes and orders used by the authors (SE, ECA, CBAM, BAM), timm, torchvision and other popular
    sources are translated to those of the model. A file of the plain network, without weights of the
    mechanism, fills the rest of the model. ``model_normalisation`` then returns what the weights expect: for
    ResNets on photographs, ImageNet's.

    Args:
        model: Receives the weights; from ``create_model``, with the options of the published network.
        path: A safetensors file, arrays of NumPy (.npz) or a PyTorch file (weights only: nothing in it is
            executed); the weights may be nested under ``state_dict`` or ``model`` and prefixed with
            ``module.``.

    Returns:
        The names that keep their fresh weights: a head for another number of classes, and the mechanism's if
        the file is of the plain network. The log names them too.

    Raises:
        CheckpointError: The file cannot be read, or is for another network or another form of it; the text
            lists what does not fit.

    Example:
        >>> import tempfile, torch, torchvision
        >>> from foveate.models import create_model
        >>> file = Path(tempfile.mkdtemp()) / "resnet18.pth"
        >>> torch.save({"state_dict": torchvision.models.resnet18().state_dict()}, file)
        >>> len(load_published(create_model("se_resnet18"), file))  # 8 blocks, 4 weights each
        32
    """
    origin = str(path)
    check_form(model, Path(path), models)
    state = translated(read_weights(Path(path)), model)
    own = model.state_dict()
    fresh = _without_mechanism(model, own, state)
    head = put_weights(model, {**{name: own[name] for name in fresh}, **state}, _classes(model), origin)
    if fresh:
        _log.warning(
            "%s: no weights of the mechanism in it; %d keep their initial values", origin, len(fresh)
        )
    normalisation = getattr(model, "published_normalisation", None)
    if normalisation is not None:
        keep_normalisation(model, *normalisation)
    return (*fresh, *head)


def _without_mechanism(model: nn.Module, own: dict[str, Tensor], state: dict[str, Tensor]) -> tuple[str, ...]:
    """Return the names of the mechanisms' weights if the file has none of them."""
    paths = tuple(f"{path}." for path, module in model.named_modules() if isinstance(module, Mechanism))
    names = tuple(name for name in own if name.startswith(paths))
    return () if any(name in state for name in names) else names


def _classes(model: nn.Module) -> int:
    """Return the length of the output: as the model states it, or of the last linear layer."""
    if isinstance(stated := getattr(model, "classes", None), int):
        return stated
    heads = [module for module in model.modules() if isinstance(module, nn.Linear)]
    return heads[-1].out_features if heads else 0
