"""Layers whose channels attend to channels: such weights have no place on a picture."""

from __future__ import annotations

from foveate.explain.families.layout import Call, Layout, family
from foveate.explain.geometry.places import channels


@family(
    "timm.models.xcit.XCA",
    "timm.models.edgenext.CrossCovarianceAttn",
    "timm.models.davit.ChannelAttention",
    "timm.models.davit.ChannelAttentionV2",
)
def channel_attention(call: Call) -> Layout:
    """Describe cross-covariance and channel-group attention: d × d weights per head."""
    places = channels(call.shape[-1])
    return Layout(queries=places, keys=places, kind="channel")
