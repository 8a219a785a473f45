"""Each system read as attention: its maps are recorded and obey their ranges; unread there are none."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import foveate as fv
from foveate.errors import OptionError
from foveate.explain.record import taps

IMAGES = torch.rand(2, 3, 64, 48, generator=torch.Generator().manual_seed(0))
TINY = {"widths": (4, 8, 16)}
SMALL = {"encoder": "timm/test_resnet"}

# Name, options, and what its maps weigh: the axes that a single map may have.
READINGS: list[Any] = [
    *(
        pytest.param(
            "deeplabv3plus",
            {**SMALL, "spatial_attention": name},
            axes,
            marks=() if name in ("cbam", "criss_cross") else pytest.mark.slow,
        )
        for name, axes in (
            ("cbam", {"b c 1 1", "b 1 h w"}),
            ("pam", {"b n m"}),
            ("position", {"b n m"}),
            ("cc", {"b h w m"}),
            ("criss_cross", {"b h w m"}),
            ("psa", {"b n m"}),
            ("gate", {"b 1 h w"}),
            ("coordinate", {"b c h 1", "b c 1 w"}),
        )
    ),
    ("bisenet", SMALL, {"b c 1 1"}),
    ("u2netp", {"fusion": "softmax"}, {"b s"}),
    pytest.param("u2netp", {"fusion": "spatial"}, {"b s h w"}, marks=pytest.mark.slow),
    ("attention_unet", TINY, {"b 1 h w"}),
    ("unet", {**SMALL, "decoder_attention": "scse"}, {"b c 1 1", "b 1 h w"}),
    ("pan", SMALL, {"b 1 h w", "b c 1 1"}),
    ("danet", SMALL, {"b n m", "b c m"}),
    ("ccnet", SMALL, {"b h w m"}),
    ("psanet", {**SMALL, "size": 9}, {"b p m"}),
    ("encnet", SMALL, {"b c 1 1", "b n m"}),
    ("ocnet", SMALL, {"b n m"}),
    ("attention_to_scale", {**SMALL, "width": 8, "hidden": 8}, {"b s h w"}),
]
PLAIN: list[tuple[str, dict[str, Any]]] = [
    ("deeplabv3plus", SMALL),
    ("unet", SMALL),
    ("unet", {"encoder": None, **TINY}),
    ("attention_unet", {"gates": 0, **TINY}),
    ("fcn", SMALL),
]


def built(name: str, options: dict[str, Any]) -> nn.Module:
    torch.manual_seed(0)
    return fv.create_model(name, classes=3, **options).eval()


@pytest.mark.parametrize(("name", "options", "axes"), READINGS)
def test_maps_are_recorded_and_obey_their_ranges(name: str, options: dict[str, Any], axes: set[str]) -> None:
    model = built(name, options)
    with fv.record(model) as maps:
        model(IMAGES)
    told = taps(model)
    assert maps.keys() == told.keys() and maps
    for path, weights in maps.items():
        tap = told[path]
        assert weights.shape[0] == len(IMAGES) and tap.low <= weights.min() and weights.max() <= tap.high
        if tap.sums:
            over = [tap.axes.split().index(axis) for axis in tap.sums.split()]
            torch.testing.assert_close(weights.sum(dim=over), torch.ones_like(weights.sum(dim=over)))
    assert {tap.axes for tap in told.values()} == axes


@pytest.mark.parametrize(("name", "options"), PLAIN)
def test_where_the_original_has_no_attention_there_is_none(name: str, options: dict[str, Any]) -> None:
    model = built(name, options)
    with fv.record(model) as maps:
        model(IMAGES)
    assert not maps and not taps(model)


def test_a_reading_adds_its_weights_and_changes_no_other_key() -> None:
    plain = built("deeplabv3plus", SMALL).state_dict()
    for name in ("none", "cbam", "criss_cross", "gate"):
        read = built("deeplabv3plus", {**SMALL, "spatial_attention": name}).state_dict()
        added = read.keys() - plain.keys()
        assert plain.keys() <= read.keys() and bool(added) is (name != "none")
        assert all(key.startswith("attention.") for key in added)
    with pytest.raises(OptionError, match="spatial_attention: got 'ppam', expected one of none, pam"):
        built("deeplabv3plus", {**SMALL, "spatial_attention": "ppam"})
    with pytest.raises(OptionError, match="spatial_attention"):
        built("deeplabv3plus", {**SMALL, "spatial_attention": "feature_fusion"})


def test_what_the_sides_of_u2net_weigh() -> None:
    shares: Tensor = built("u2netp", {"fusion": "softmax"}).fusion_weights()
    torch.testing.assert_close(shares, torch.full((6,), 1 / 6))
    assert built("u2netp", {}).fusion_weights().shape == (3, 6, 3)
