"""What is kept: layers, where, how much; and what is said when there is nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from torch import Tensor, nn

import foveate as fv
from foveate.errors import OptionError, RecordingError, ShapeError, SiteError, UnknownNameError
from tests.explain.toys import HF


@pytest.fixture(scope="module")
def vit() -> nn.Module:
    torch.manual_seed(0)
    return timm.create_model("test_vit", img_size=(48, 80)).eval()


def picture() -> Tensor:
    return torch.rand(2, 3, 48, 80, generator=torch.Generator().manual_seed(0))


def test_layers_are_chosen_by_their_own_path_or_one_around_them(vit: nn.Module) -> None:
    for layers, expected in (
        ("blocks.1", 1),
        ("*.attn", len(vit.blocks)),
        (["blocks.0.attn", "blocks.2"], 2),
    ):
        with fv.record(vit, layers=layers) as maps:
            vit(picture())
        assert len(maps) == expected
    with pytest.raises(SiteError, match=r'"blocks\.77".*Nearest'), fv.record(vit, layers="blocks.77"):
        pass


def test_a_folder_holds_each_call_and_the_tensors_are_mapped_from_it(vit: nn.Module, tmp_path: Path) -> None:
    with torch.no_grad(), fv.record(vit) as whole, fv.record(vit, folder=tmp_path / "maps") as maps:
        vit(picture())
        vit(picture())
    files = sorted((tmp_path / "maps").glob("*.npy"))
    assert len(files) == 2 * len(vit.blocks) and files[0].name == "00000-blocks.0.attn.npy"
    assert all(torch.equal(maps[path], whole[path]) for path in whole)
    np.testing.assert_array_equal(np.load(files[0]), whole.calls("blocks.0.attn")[0].weights)


def test_more_than_the_limit_names_the_layer_its_sizes_and_what_helps(vit: nn.Module) -> None:
    said = r"blocks\.1\.attn \(queries N = 16, keys M = 16, heads h = 2, batch 2\).*queries=\[0\].*folder="
    with pytest.raises(RecordingError, match=said), fv.record(vit, limit=5000):
        vit(picture())
    with fv.record(vit, limit=5000, layers="blocks.0.attn", queries=0) as maps:
        vit(picture())
    assert maps["blocks.0.attn"].shape[2:] == (1, 16)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"heads": "max"}, "heads"),
        ({"heads": [-1]}, "heads"),
        ({"queries": []}, "queries"),
        ({"limit": 0}, "limit"),
        ({"layers": [3]}, "layers"),
        ({"grad": True, "device": "cpu"}, "grad"),
    ],
)
def test_impossible_options_are_refused(vit: nn.Module, options: dict[str, object], said: str) -> None:
    with pytest.raises(OptionError, match=said), fv.record(vit, **options):
        pass


def test_a_head_or_query_that_no_layer_has_is_refused(vit: nn.Module) -> None:
    said = r"heads=.99., but blocks\.0\.attn has"
    with pytest.raises(RecordingError, match=said), fv.record(vit, heads=[99]):
        vit(picture())


def test_a_model_without_attention_says_so() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    with fv.record(model) as maps:
        assert "has not run" in maps.note
        model(picture())
    assert "no attention" in maps.note and "no attention" in repr(maps)
    with pytest.raises(UnknownNameError, match="no attention"):
        maps.calls("0")


def test_a_softmax_that_multiplies_nothing_is_no_attention() -> None:
    class Classes(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.flatten(2).softmax(-1).log().sum()

    with fv.record(model := Classes()) as maps:
        model(picture())
    assert not maps


def test_what_multiplies_the_values_is_the_map() -> None:
    """A softmax that is changed before it multiplies, by an einsum with keys in the middle."""

    class Mixed(nn.Module):
        def forward(self, x: Tensor, v: Tensor) -> Tensor:
            weights = 2 * x.softmax(-1) - 0.1
            return torch.einsum("bhmn,bhmd->bhnd", weights.mT, v)

    x, v = torch.randn(2, 3, 4, 5), torch.randn(2, 3, 5, 6)
    with fv.record(model := Mixed()) as maps:
        model(x, v)
    assert maps.calls("")[0].kind == "mixed"
    torch.testing.assert_close(maps[""], 2 * x.softmax(-1) - 0.1)


def test_what_lies_on_no_place_is_dropped_and_told(vit: nn.Module) -> None:
    with torch.no_grad(), fv.record(vit) as maps:
        vit(picture())
    found = maps.in_order[1]
    shown, dropped = found.to_image((48, 80))
    row = found.weights.mean(1)[:, 0]
    torch.testing.assert_close(dropped, row[:, 0])
    torch.testing.assert_close(shown[:, ::16, ::16].flatten(1), row[:, 1:])
    whole, _ = found.to_image((48, 80), renormalise=True)
    torch.testing.assert_close(whole[:, ::16, ::16].sum((1, 2)), torch.ones(2))
    pixel, _ = found.to_image((48, 80), query=(20, 70), head=1)
    torch.testing.assert_close(pixel[:, ::16, ::16].flatten(1), found.weights[:, 1, 1 + 5 + 4, 1:])
    with pytest.raises(OptionError, match="head: got 7"):
        found.to_image((48, 80), head=7)


def test_a_border_without_a_patch_has_no_value() -> None:
    model, _ = HF["DINOv2"]()
    with torch.no_grad(), fv.record(model) as maps:
        model(pixel_values=torch.rand(1, 3, 56, 64))
    shown = maps.in_order[0].to_image((56, 64)).values[0]
    assert shown[:48].isfinite().all() and shown[48:].isnan().all()


@pytest.mark.parametrize("block", [0, 1])
def test_windows_as_one_matrix_give_the_layers_own_output(block: int) -> None:
    """The whole matrix times the values laid out as a map is what the layer computes in its windows."""
    torch.manual_seed(0)
    model = timm.create_model(
        "swin_tiny_patch4_window7_224",
        img_size=(44, 60),
        embed_dim=16,
        depths=(2,),
        num_heads=(1,),
        window_size=4,
    ).eval()
    layer, seen = model.layers[0].blocks[block], {}
    layer.attn.proj.weight.data = torch.eye(16)
    layer.attn.proj.bias.data.zero_()
    layer.norm1.register_forward_hook(lambda _m, _i, out: seen.update(x=out))
    own = layer._attn
    layer._attn = lambda x: seen.setdefault("out", own(x))
    with torch.no_grad(), fv.record(model) as maps:
        model(torch.rand(1, 3, 44, 60))
        values = (seen["x"] @ layer.attn.qkv.weight[32:].T + layer.attn.qkv.bias[32:]).flatten(1, 2)
    found = maps.calls(f"layers.0.blocks.{block}.attn")[0]
    bias = layer.attn.qkv.bias[32:]  # of padded keys, which the matrix leaves out
    missing = (1 - found.dense()[:, 0].sum(-1))[..., None] * bias
    torch.testing.assert_close(
        found.dense()[:, 0] @ values + missing, seen["out"].flatten(1, 2), atol=1e-5, rtol=1e-5
    )


def test_channels_have_no_place() -> None:
    torch.manual_seed(0)
    model = timm.create_model("edgenext_xx_small").eval()
    with torch.no_grad(), fv.record(model) as maps:
        model(torch.rand(1, 3, 64, 64))
    found = maps.in_order[0]
    assert found.kind == "channel"
    with pytest.raises(ShapeError, match="no place on a picture"):
        found.to_image((64, 64))
