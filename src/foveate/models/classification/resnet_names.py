"""Names of published weights, translated to those of ``ResNet``.

``ResNet`` has the names of torchvision and of timm's plain networks. Sources differ in the names of the
mechanism's weights, in their order and shape, and in the network that they were trained in.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from torch import Tensor

from foveate.errors import CheckpointError
from foveate.mechanisms.base import mechanisms, options_of


@runtime_checkable
class Blocks(Protocol):
    """What a plan says about the blocks of a network."""

    @property
    def bottleneck(self) -> bool:
        """Whether they are bottlenecks."""


@runtime_checkable
class Network(Protocol):
    """How a ``ResNet`` was built, and its weights."""

    @property
    def plan(self) -> Blocks:
        """What it is made of."""

    @property
    def mechanism(self) -> str | None:
        """The name of its mechanism; None for the plain network."""

    @property
    def placement(self) -> str:
        """Where the mechanism sits."""

    @property
    def caffe(self) -> bool:
        """Whether it halves the size and pools as Caffe's models do."""

    @property
    def options(self) -> Mapping[str, object]:
        """Options of the mechanism."""

    def state_dict(self) -> dict[str, Tensor]:
        """Return the weights by name."""


@dataclass(frozen=True)
class Layout:
    """The names that one source gives to the weights of a network.

    Args:
        source: Who it is, for messages.
        mechanism: The mechanism that the network has.
        mark: Matches a name that only this layout has.
        rules: Patterns and what replaces them, applied in order to every name.
        placement: Where the mechanism sits in that network.
        caffe: Whether it halves the size and pools as Caffe's models do.
        options: The mechanism's options that the shapes of the weights do not show.
        bottleneck: Whether only its networks of bottlenecks compute the same as ``ResNet``.
        flags: Options of the mechanism that are True if a name matches, else False.
        swapped: Matches kernels whose two input channels come in the other order: the mean first, then the
            maximum.
    """

    source: str
    mechanism: str
    mark: str
    rules: tuple[tuple[str, str], ...]
    placement: str = "standard"
    caffe: bool = False
    options: tuple[tuple[str, object], ...] = ()
    bottleneck: bool = False
    flags: tuple[tuple[str, str], ...] = ()
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
_BAM = (
    (r"^bam([123])\.channel_att\.gate_c\.gate_c_", r"layer\1.attention.channel."),
    (r"\.channel\.fc_0\.", ".channel.0."),
    (r"\.channel\.bn_1\.", ".channel.1."),
    (r"\.channel\.fc_final\.", ".channel.3."),
    (r"^bam([123])\.spatial_att\.gate_s\.gate_s_", r"layer\1.attention.spatial."),
    (r"\.spatial\.conv_reduce0\.", ".spatial.0."),
    (r"\.spatial\.bn_reduce0\.", ".spatial.1."),
    (r"\.spatial\.conv_di_0\.", ".spatial.3."),
    (r"\.spatial\.bn_di_0\.", ".spatial.4."),
    (r"\.spatial\.conv_di_1\.", ".spatial.6."),
    (r"\.spatial\.bn_di_1\.", ".spatial.7."),
    (r"\.spatial\.conv_final\.", ".spatial.9."),
)
_GC = (
    (_BLOCK + r"se\.conv_attn\.", r"\1.attention.score."),
    (_BLOCK + r"se\.mlp_(?:add|scale)\.fc1\.", r"\1.attention.squeeze."),
    (_BLOCK + r"se\.mlp_(?:add|scale)\.norm\.", r"\1.attention.norm."),
    (_BLOCK + r"se\.mlp_(?:add|scale)\.fc2\.", r"\1.attention.excite."),
)
_SK = (
    (_BLOCK + r"conv([13])\.conv\.", r"\1.conv\2."),
    (_BLOCK + r"conv([13])\.bn\.", r"\1.bn\2."),
    (_BLOCK + r"conv2\.paths\.(\d+)\.conv\.", r"\1.attention.branches.\2.0."),
    (_BLOCK + r"conv2\.paths\.(\d+)\.bn\.", r"\1.attention.branches.\2.1."),
    (_BLOCK + r"conv2\.attn\.fc_reduce\.", r"\1.attention.select.squeeze."),
    (_BLOCK + r"conv2\.attn\.bn\.", r"\1.attention.select.norm."),
    (_BLOCK + r"conv2\.attn\.fc_select\.", r"\1.attention.select.select."),
)
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
        flags=(("bias", r"\.se\.channel\.fc1\.bias$"),),
        swapped=r"\.attention\.spatial\.conv\.weight$",
    ),
    Layout(
        "the authors of BAM",
        "bam",
        r"^bam1\.",
        _BAM,
        placement="stage",
        options=(("combine", "multiply"),),  # not the paper's sum
    ),
    Layout("timm", "gc", _BLOCK + r"se\.mlp_add\.", _GC, options=(("fuse", "add"),)),
    Layout("timm", "gc", _BLOCK + r"se\.mlp_scale\.", _GC, options=(("fuse", "scale"),)),
    Layout("timm", "sk_conv", _BLOCK + r"conv2\.attn\.", _SK, placement="replace"),
)


def published(state: Mapping[str, Tensor], network: Network) -> dict[str, Tensor]:
    """Return ``state`` under the names, and in the shapes, of ``network``; unchanged if no layout matches.

    Raises:
        CheckpointError: The weights are those of a network that computes something else.
    """
    layout = next((a for a in LAYOUTS if any(re.search(a.mark, name) for name in state)), None)
    if layout is None:
        return dict(state)
    _check(layout, network, state)
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
    """Return the weights of a linear layer as those of the 1 x 1 convolution that does the same, or back."""
    if own is not None and {value.ndim, own.ndim} == {2, 4} and value.shape[:2] == own.shape[:2]:
        return value.reshape(own.shape) if value.numel() == own.numel() else value
    return value


def _check(layout: Layout, network: Network, state: Mapping[str, Tensor]) -> None:
    """Raise if the weights would load, but into a network that computes something else."""
    wanted: dict[str, object] = {"mechanism": layout.mechanism, "placement": layout.placement}
    here: dict[str, object] = {"mechanism": network.mechanism, "placement": network.placement}
    if network.mechanism == layout.mechanism:
        here |= {**options_of(mechanisms[layout.mechanism]), **network.options}
    wanted |= dict(layout.options) | {"caffe": layout.caffe}
    wanted |= {option: any(re.search(mark, name) for name in state) for option, mark in layout.flags}
    here["caffe"] = network.caffe
    for option, value in wanted.items():
        if here[option] != value:
            raise CheckpointError(
                f"these weights, in the names of {layout.source}, are for a network with {option}={value!r}; "
                f"this one has {option}={here[option]!r}. Create it with {option}={value!r}."
            )
    if layout.bottleneck and not network.plan.bottleneck:  # timm's legacy_seresnet18 and 34: a ReLU before SE
        raise CheckpointError(
            f"these weights, in the names of {layout.source}, are for a network without bottlenecks that "
            "differs from this one. Use those of 50 layers and more."
        )
