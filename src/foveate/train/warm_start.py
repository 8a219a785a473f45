"""Branching: begin a variant from the weights of a trained plain model."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from foveate.errors import CheckpointError, nearest

_HOLDER = "foveate"  # the name of the child that holds what was inserted


def start_from_plain(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Load the weights of the plain model; what was inserted keeps its own start.

    Args:
        model: A model, with or without inserted attention.
        state: The state of the model without it.

    Raises:
        CheckpointError: Another key than an inserted one is missing, a key is too much, or a shape differs.
    """
    own = model.state_dict()
    missing = [name for name in own if name not in state and _HOLDER not in name.split(".")]
    foreign = [name for name in state if name not in own]
    misshapen = [name for name in state if name in own and state[name].shape != own[name].shape]
    if missing or foreign or misshapen:
        name = (missing or foreign or misshapen)[0]
        kind = "is missing" if missing else "is not in the model" if foreign else "has another shape"
        raise CheckpointError(
            f"the weights to start from do not fit: {len(missing)} keys missing, {len(foreign)} too many, "
            f'{len(misshapen)} of another shape; "{name}" {kind}. {nearest(name, state if missing else own)} '
            "They have to come from the same model without attention."
        )
    model.load_state_dict(state, strict=False)
