"""Whole models: the same output to the bit, the model's own weights, nothing left, places known."""

from __future__ import annotations

import pytest
import torch
from docs.write_recorded_models import WITHOUT, measured, models
from torch import nn

import foveate as fv
from tests.explain.toys import HF

SLOW = {
    "levit_128s",
    "mobilevit_xxs",
    "efficientvit_m0",
    "xcit_nano_12_p16_224",
    "pvt_v2_b0",
    "vit_b_16",
    "ghostnet_100",
}
FAST = {"ViT", "Swin", "T5", "SegFormer"}
pytestmark = pytest.mark.filterwarnings("ignore")


def check(library: str, name: str) -> None:
    row = measured(library, name)
    assert row.equal and row.varies, row
    assert row.left == 0, row
    assert row.difference <= 1e-5, row
    assert (row.seen == "no attention") == (name in WITHOUT), row
    assert row.known[0] == row.known[1], row


@pytest.mark.parametrize(("library", "name"), [m for m in models() if m[1] in FAST])
def test_a_model_is_recorded_as_it_computes(library: str, name: str) -> None:
    check(library, name)


@pytest.mark.slow
@pytest.mark.parametrize(("library", "name"), [m for m in models() if m[1] in SLOW])
def test_more_models_are_recorded_as_they_compute(library: str, name: str) -> None:
    check(library, name)


@pytest.mark.nightly
@pytest.mark.parametrize(("library", "name"), [m for m in models() if m[1] not in SLOW | FAST])
def test_every_model_is_recorded_as_it_computes(library: str, name: str) -> None:
    check(library, name)


def test_flash_kernels_say_what_to_do() -> None:
    model, _ = HF["ViT"]()
    model.config._attn_implementation = "flex_attention"
    with fv.record(model) as maps:
        pass
    assert 'set_attn_implementation("sdpa")' in maps.note


def test_a_scripted_model_says_what_to_do() -> None:
    class Same(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x

    with fv.record(torch.jit.trace(Same(), torch.ones(1))) as maps:
        pass
    assert "TorchScript" in maps.note
