"""Names of published weights, brought to the names of ``ResNet``.

torchvision's and timm's plain names are ``ResNet``'s own. What differs is how the mechanism's weights are
called, in whose order and shape they come, and what network they were made for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from foveate.errors import CheckpointError

if TYPE_CHECKING:
    from foveate.models.classification.resnet import ResNet


@dataclass(frozen=True)
class Layout:
    """How somebody calls the weights of a network.

    Args:
        source: Who; for messages.
        mechanism: The mechanism that the network has.
        mark: Matches a name that only this layout has.
        rules: Patterns and what replaces them, applied in order to every name.
        placement: Where the mechanism sits in that network.
        caffe: Whether it halves the size and pools as Caffe's models do.
        bottleneck: Whether only its networks of bottlenecks are ours.
        swapped: Names of kernels whose two input channels come in the other order: the mean first, then the
            maximum.
    """

    source: str
    mechanism: str
    mark: str
    rules: tuple[tuple[str, str], ...]
    placement: str = "standard"
    caffe: bool = False
    bottleneck: bool = False
    swapped: str = r"(?!)"


_BLOCK = r"^(layer\d\.\d+)\."
_LEGACY = (
    (r"^layer0\.(conv1|bn1)\.", r"\1."),
    (_BLOCK + r"se_module\.fc1\.", r"\1.attention.squeeze."),
    (_BLOCK + r"se_module\.fc2\.", r"\1.attention.excite."),
    (r"^last_linear\.", "fc."),
)
_LEGACY_DEEP = (
    (r"^layer0\.conv1\.", "conv1.0."),
    (r"^layer0\.bn1\.", "conv1.1."),
    (r"^layer0\.conv2\.", "conv1.3."),
    (r"^layer0\.bn2\.", "conv1.4."),
    (r"^layer0\.conv3\.", "conv1.6."),
    (r"^layer0\.bn3\.", "bn1."),
    *_LEGACY,
)
_GATES = r"(?:channel_att|spatial_att)\.gate_"
LAYOUTS = (
    Layout("the authors of SE", "se", r"^layer0\.conv3\.", _LEGACY_DEEP, caffe=True, bottleneck=True),
    Layout("the authors of SE", "se", r"^layer0\.conv1\.", _LEGACY, caffe=True, bottleneck=True),
    Layout(
        "timm",
        "se",
        _BLOCK + r"se\.fc1\.",
        ((_BLOCK + r"se\.fc1\.", r"\1.attention.squeeze."), (_BLOCK + r"se\.fc2\.", r"\1.attention.excite.")),
    ),
    Layout(
        "moskomule/senet.pytorch",
        "se",
        _BLOCK + r"se\.fc\.0\.",
        (
            (_BLOCK + r"se\.fc\.0\.", r"\1.attention.squeeze."),
            (_BLOCK + r"se\.fc\.2\.", r"\1.attention.excite."),
        ),
    ),
    Layout(
        "timm or the authors of ECA",
        "eca",
        _BLOCK + r"(?:se|eca)\.conv\.weight$",
        ((_BLOCK + r"(?:se|eca)\.conv\.", r"\1.attention.excite."),),
    ),
    Layout(
        "the authors of CBAM",
        "cbam",
        _BLOCK + r"cbam\.",
        (
            (_BLOCK + r"cbam\.ChannelGate\.mlp\.1\.", r"\1.attention.channel.squeeze."),
            (_BLOCK + r"cbam\.ChannelGate\.mlp\.3\.", r"\1.attention.channel.excite."),
            (_BLOCK + r"cbam\.SpatialGate\.spatial\.conv\.", r"\1.attention.spatial.conv."),
            (_BLOCK + r"cbam\.SpatialGate\.spatial\.bn\.", r"\1.attention.spatial.norm."),
        ),
    ),
    Layout(
        "timm",
        "cbam",
        _BLOCK + r"se\.spatial\.",
        (
            (_BLOCK + r"se\.channel\.fc1\.", r"\1.attention.channel.squeeze."),
            (_BLOCK + r"se\.channel\.fc2\.", r"\1.attention.channel.excite."),
            (_BLOCK + r"se\.spatial\.conv\.conv\.", r"\1.attention.spatial.conv."),
            (_BLOCK + r"se\.spatial\.conv\.bn\.", r"\1.attention.spatial.norm."),
        ),
        swapped=r"\.attention\.spatial\.conv\.weight$",
    ),
)


def published(state: Mapping[str, Tensor], network: ResNet) -> dict[str, Tensor]:
    """Return ``state`` under the names, and in the shapes, of ``network``; as it is if no layout explains it.

    Raises:
        CheckpointError: The weights are those of a network that computes something else.
    """
    layout = next((a for a in LAYOUTS if any(re.search(a.mark, name) for name in state)), None)
    if layout is None:
        return dict(state)
    _check(layout, network)
    own = network.state_dict()
    return {
        new: _shaped(value.flip(1) if re.search(layout.swapped, new) else value, own.get(new))
        for new, value in ((_renamed(name, layout), value) for name, value in state.items())
    }


def _renamed(name: str, layout: Layout) -> str:
    for pattern, replacement in layout.rules:
        name = re.sub(pattern, replacement, name)
    return name


def _shaped(value: Tensor, own: Tensor | None) -> Tensor:
    """Return the weights of a linear layer as those of the 1 x 1 convolution that does the same."""
    alike = own is not None and own.ndim == 4 and value.ndim == 2 and own.shape == (*value.shape, 1, 1)
    return value[:, :, None, None] if alike else value


def _check(layout: Layout, network: ResNet) -> None:
    """Weights of the right shapes in another network would load, and mean nothing there."""
    for option, here in (
        ("mechanism", network.mechanism),
        ("placement", network.placement),
        ("caffe", network.caffe),
    ):
        there = getattr(layout, option)
        if there != here:
            raise CheckpointError(
                f"these weights, in the names of {layout.source}, are for a network with {option}={there!r}; "
                f"this one has {option}={here!r}. Create it with {option}={there!r}."
            )
    if layout.bottleneck and not network.plan.bottleneck:  # timm's legacy_seresnet18 and 34: a ReLU before SE
        raise CheckpointError(
            f"these weights, in the names of {layout.source}, are for a network without bottlenecks that "
            "differs from this one. Use those of 50 layers and more."
        )
