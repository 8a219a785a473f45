"""Networks on signals and volumes have the sites that the same networks on images have; insertion works."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import pytest
import torch
from torch import Tensor, nn
from torchvision.models.swin_transformer import PatchMerging
from torchvision.models.video.resnet import BasicBlock, BasicStem, Conv3DSimple, VideoResNet
from torchvision.models.video.swin_transformer import SwinTransformer3d

from foveate.errors import SiteError
from foveate.explain.record import record
from foveate.insert.control import Control
from foveate.insert.inserted_parts import gate_parameters
from foveate.insert.sites import Site
from foveate.insert.surgery import insert, remove
from foveate.insert.survey import sites
from foveate.mechanisms import mechanisms

RANKS = pytest.mark.parametrize("rank", [1, 3])
Layer = Callable[..., nn.Module]


def networks() -> ModuleType:
    import monai.networks.nets  # takes seconds

    return monai.networks.nets


class Block(nn.Module):
    """A residual block of any rank."""

    def __init__(self, conv: Layer, norm: Layer, channels: int, out: int, dilation: int = 1) -> None:
        super().__init__()
        stride = 2 if dilation == 1 else 1
        wide = {"padding": dilation, "dilation": dilation}
        self.conv1, self.norm1 = conv(channels, out, 3, stride=stride, **wide), norm(out)
        self.conv2, self.norm2 = conv(out, out, 3, **wide), norm(out)
        self.short = conv(channels, out, 1, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm2(self.conv2(self.norm1(self.conv1(x)).relu()))
        return (y + self.short(x)).relu()


class Residual(nn.Module):
    """A residual classifier of any rank."""

    def __init__(self, rank: int, dilation: int = 1) -> None:
        super().__init__()
        conv, norm, pool = (
            getattr(nn, f"{name}{rank}d") for name in ("Conv", "BatchNorm", "AdaptiveAvgPool")
        )
        self.stem = nn.Sequential(conv(2, 8, 3, padding=1), norm(8), nn.ReLU())
        blocks = Block(conv, norm, 8, 16), Block(conv, norm, 16, 32, dilation)
        # With dilation a stage each, of which the last is of the size of the one before.
        self.blocks = nn.Sequential(*(blocks if dilation == 1 else map(nn.Sequential, blocks)))
        self.pool, self.fc = pool(1), nn.Linear(32, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.pool(self.blocks(self.stem(x))).flatten(1))


def u_net(rank: int) -> nn.Module:
    return networks().UNet(
        spatial_dims=rank, in_channels=2, out_channels=3, channels=(4, 8, 16), strides=(2, 2), num_res_units=1
    )


def seg_resnet(rank: int) -> nn.Module:
    return networks().SegResNet(spatial_dims=rank, in_channels=2, out_channels=3, init_filters=8)


def dilated(rank: int) -> nn.Module:
    return Residual(rank, dilation=2)


NETS = {"residual": Residual, "dilated": dilated, "unet": u_net, "segresnet": seg_resnet}


def made(name: str, rank: int) -> tuple[nn.Module, Tensor]:
    torch.manual_seed(0)
    x = torch.rand(2, 2, *(32,) * rank if rank < 3 else (16,) * 3)
    return NETS[name](rank).eval(), x


def told(site: Site) -> tuple[object, ...]:
    deeper = site.deeper and (site.deeper.layout.channels, site.deeper.argument, site.deeper.source)
    kept = (site.path, site.aliases, site.kind, site.channels, site.where, site.argument, site.source)
    return (*kept, site.first, site.within, site.classes, deeper)


# MONAI's SegResNet is for images and volumes.
@pytest.mark.parametrize(
    ("name", "rank"),
    [
        *((name, rank) for name in ("residual", "dilated") for rank in (1, 3)),
        *(pytest.param("unet", rank, marks=pytest.mark.slow) for rank in (1, 3)),
        pytest.param("segresnet", 3, marks=pytest.mark.slow),
    ],
)
def test_the_sites_do_not_depend_on_the_rank(name: str, rank: int) -> None:
    flat, other = (sites(*made(name, r)) for r in (2, rank))
    assert [told(site) for site in other] == [told(site) for site in flat]
    assert {site.dims for site in other} == {rank}
    assert all(len(site.size) == rank for site in other)
    assert name != "dilated" or "stage2" in {alias for site in other for alias in site.aliases}


SPECS = [
    ("residual", "se@blocks"),
    ("residual", "attention_pool@pool+csra@output"),
    pytest.param("unet", "attention_gate@skip", marks=pytest.mark.slow),
    pytest.param("unet", "scse@skip1+bam@bottleneck+position@output", marks=pytest.mark.slow),
    pytest.param("residual", "cbam@stage1+simam@input", marks=pytest.mark.nightly),
    pytest.param("residual", "non_local@stage2", marks=pytest.mark.nightly),
    pytest.param(
        "unet", "attention_gate(kind=additive)@skip+multi_head@bottleneck", marks=pytest.mark.nightly
    ),
    pytest.param("unet", "control(like=cbam)@stage1", marks=pytest.mark.nightly),
]


@RANKS
@pytest.mark.parametrize(("name", "spec"), SPECS)
def test_insertion(name: str, spec: str, rank: int) -> None:
    model, x = made(name, rank)
    attended = insert(model, spec, example=x)
    assert torch.equal(attended(x), model(x))
    assert all(gate.grad is None for gate in gate_parameters(attended))
    attended(x).square().sum().backward()
    assert all(gate.grad is not None and gate.grad.isfinite().all() for gate in gate_parameters(attended))
    for gate in gate_parameters(attended):
        nn.init.constant_(gate, 0.5)
    assert not torch.allclose(attended(x), model(x))
    assert torch.equal(remove(attended)(x), model(x))


@RANKS
def test_what_is_inserted_is_the_mechanism_of_that_rank(rank: int) -> None:
    model, x = made("residual", rank)
    attended = insert(model, "cbam@blocks.1", example=x, start="paper")
    (cbam,) = (m for m in attended.modules() if isinstance(m, mechanisms["cbam"]))
    assert cbam.dimensions == rank
    expected = model.fc(model.pool(cbam(model.blocks(model.stem(x)))).flatten(1))
    assert torch.equal(attended(x), expected)
    (control,) = (
        m for m in insert(model, "control(like=cbam)@blocks.1", example=x).modules() if isinstance(m, Control)
    )
    assert control.target == cbam.cost(*{1: (8,), 3: (4, 4, 4)}[rank])
    assert abs(control.gap.macs) <= 0.05 * control.target.macs + 2 * 32 * 4


@RANKS
def test_what_does_not_take_the_rank_is_refused(rank: int) -> None:
    model, x = made("residual", rank)
    flowing = {1: "signals", 3: "volumes"}[rank]
    with pytest.raises(SiteError, match=f"coordinate takes maps .* and {flowing}") as caught:
        insert(model, "coordinate@blocks", example=x)
    assert "se" in str(caught.value) and "cbam" in str(caught.value)
    narrowed = rf"multi_head\(positions=sine2d\).* cannot sit at .*: multi_head takes maps .* and {flowing}"
    with pytest.raises(SiteError, match=narrowed) as caught:
        insert(model, "multi_head(positions=sine2d)@stage2", example=x)
    assert "multi_head" not in str(caught.value).split("These take them")[1]


@RANKS
def test_weights_are_recorded_as_the_map_lies(rank: int) -> None:
    model, x = made("residual", rank)
    attended = insert(model, "sse@stage1+spatial@stage2", example=x)
    with record(attended) as maps, torch.no_grad():
        attended(x)
    sizes = [site.size for site in sites(model, x) if "features" in site.aliases]
    assert [tuple(weights.shape) for weights in maps.values()] == [(2, 1, *size) for size in sizes]


def test_videos() -> None:
    torch.manual_seed(0)
    model = VideoResNet(BasicBlock, [Conv3DSimple] * 4, [1, 1, 1, 1], BasicStem, num_classes=4).eval()
    x = torch.rand(1, 3, 4, 32, 32)
    named = {alias: site for site in sites(model, x) for alias in site.aliases if alias != "blocks"}
    assert [named[f"stage{n}"].size for n in (1, 2, 3, 4)] == [(4, 16, 16), (2, 8, 8), (1, 4, 4), (1, 2, 2)]
    assert named["output"].classes == 4 and named["pool"].path == "avgpool"
    attended = insert(model, "se@blocks+gem@pool+csra@output", example=x)
    assert torch.equal(attended(x), model(x))


def test_grids_of_volumes() -> None:
    """A transformer whose maps have the channels last: (B, D, H, W, C)."""
    torch.manual_seed(0)
    model = SwinTransformer3d(
        [2, 4, 4], 8, [1, 1], [2, 2], [2, 4, 4], num_classes=3, downsample_layer=PatchMerging
    )
    x = torch.rand(1, 3, 4, 32, 32)
    found = {alias: site for site in sites(model.eval(), x) for alias in site.aliases if alias != "blocks"}
    sizes = [(found[s].kind, found[s].size) for s in ("stage1", "stage2")]
    assert sizes == [("grid", (2, 8, 8)), ("grid", (2, 4, 4))]
    attended = insert(model, "cbam@blocks", example=x)
    assert torch.equal(attended(x), model(x))


class Spoken(nn.Module):
    """Convolutions on a signal, then a transformer on its positions."""

    def __init__(self, rank: int) -> None:
        super().__init__()
        self.embed = getattr(nn, f"Conv{rank}d")(2, 16, 4, stride=4)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(16, 2, 32, batch_first=True, norm_first=True) for _ in range(2)
        )
        self.fc = nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x).flatten(2).transpose(1, 2)
        for layer in self.layers:
            x = layer(x)
        return self.fc(x.mean(dim=1))


@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
@RANKS
def test_tokens_of_signals_and_volumes(rank: int) -> None:
    torch.manual_seed(0)
    model, x = Spoken(rank).eval(), torch.rand(2, 2, *(16, 8, 12)[:rank])
    found = [site for site in sites(model, x) if "blocks" in site.aliases]
    assert [(site.path, site.kind, site.size) for site in found] == [
        (f"layers.{n}", "grid" if rank == 1 else "tokens", (4, 2, 3)[:rank]) for n in range(2)
    ]
    attended = insert(model, "cbam@blocks", example=x)
    torch.testing.assert_close(attended(x), model(x), rtol=0, atol=0)
