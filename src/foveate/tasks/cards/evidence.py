"""Where a model finds what speaks for an answer: a map that every variant has, with attention or without.

Shapes  images float (B, 3, H, W), normalised; maps float (B, H, W).
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from foveate.errors import FoveateError
from foveate.explain.explain import explain
from foveate.tasks.cards.attention_maps import Maps

METHOD, KIND = "grad_cam", "evidence"


def evidence(model: nn.Module, batch: Float[Tensor, "b 3 h w"], target: Tensor | None) -> Maps:
    """Return what Grad-CAM finds for the target, or for the prediction; nothing where it is not defined."""
    try:
        return [(METHOD, KIND, explain(model, batch, METHOD, target).cpu().numpy())]
    except FoveateError:  # no layer has a map on the way to the answer
        return []
