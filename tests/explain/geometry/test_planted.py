"""For every family with places: what a planted pixel changes is where the geometry says it is."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn

from tests.explain.geometry.planted import Case, looks_at, planted, prepared
from tests.explain.toys import HF

Made = tuple[nn.Module, dict[str, Tensor]]


def by_timm(name: str, height: int, width: int, **options: object) -> Callable[[], Made]:
    def make() -> Made:
        torch.manual_seed(0)
        model = timm.create_model(name, **options)
        return model, {"x": torch.randn(1, 3, height, width, generator=torch.Generator().manual_seed(2))}

    return make


def sized(name: str, height: int, width: int, **options: object) -> Callable[[], Made]:
    return by_timm(name, height, width, img_size=(height, width), **options)


def small_vision_maxvit() -> Made:
    model = torchvision.models.MaxVit(
        input_size=(64, 64), stem_channels=16, partition_size=4, block_channels=[16, 32], block_layers=[1, 1],
        head_dim=16, stochastic_depth_prob=0.0,
    )  # fmt: skip
    return model, {"x": torch.randn(1, 3, 64, 64)}


def small_vision_swin(version: str) -> Callable[[], Made]:
    def make() -> Made:
        torch.manual_seed(0)
        from torchvision.models import swin_transformer as swin

        block = {"swin": swin.SwinTransformerBlock, "swin v2": swin.SwinTransformerBlockV2}[version]
        merge = {"swin": swin.PatchMerging, "swin v2": swin.PatchMergingV2}[version]
        model = torchvision.models.SwinTransformer(
            patch_size=[4, 4], embed_dim=16, depths=[2, 2], num_heads=[2, 2], window_size=[4, 4], block=block,
            downsample_layer=merge,
        )  # fmt: skip
        return model, {"x": torch.randn(1, 3, 40, 52)}

    return make


_SWIN = {"embed_dim": 16, "depths": (2, 2), "num_heads": (2, 2), "window_size": 4}
FAST: dict[str, Case] = {
    "vit": Case(sized("test_vit", 48, 80), "blocks.1.attn", "blocks.1", "bnc", (3, 5), 16, 1),
    "registers": Case(sized("test_vit3", 48, 80), "blocks.1.attn", "blocks.1", "bnc", (3, 5), 16, 1),
    "swin": Case(
        sized("swin_tiny_patch4_window7_224", 44, 60, **_SWIN),
        "layers.0.blocks.1.attn",
        "layers.0.blocks.1",
        "bhwc",
        (11, 15),
        4,
    ),
    "swin, second stage": Case(
        sized("swin_tiny_patch4_window7_224", 44, 60, **_SWIN),
        "layers.1.blocks.1.attn",
        "layers.1.blocks.1",
        "bhwc",
        (6, 8),
        8,
    ),
    "swin v2": Case(
        sized("swinv2_tiny_window8_256", 44, 60, **_SWIN),
        "layers.0.blocks.1.attn",
        "layers.0.blocks.1",
        "bhwc",
        (11, 15),
        4,
    ),
    "torchvision swin": Case(
        small_vision_swin("swin"), "features.1.1.attn", "features.1.1", "bhwc", (10, 13), 4
    ),
    "torchvision swin v2": Case(
        small_vision_swin("swin v2"), "features.1.1.attn", "features.1.1", "bhwc", (10, 13), 4
    ),
    "torchvision maxvit, block": Case(
        small_vision_maxvit,
        "blocks.0.layers.0.layers.window_attention.attn_layer.1",
        "blocks.0.layers.0.layers.window_attention",
        "bchw",
        (16, 16),
        4,
    ),
    "torchvision maxvit, grid": Case(
        small_vision_maxvit,
        "blocks.0.layers.0.layers.grid_attention.attn_layer.1",
        "blocks.0.layers.0.layers.grid_attention",
        "bchw",
        (16, 16),
        4,
    ),
    "transformers vit": Case(HF["ViT"], "layers.1.attention", "layers.1", "bnc", (3, 3), 16, 1),
    "transformers dinov2": Case(
        HF["DINOv2 with registers"], "encoder.layer.1.attention", "encoder.layer.1", "bnc", (3, 3), 16, 3
    ),
    "transformers swin": Case(
        HF["Swin"], "encoder.layers.0.blocks.1.attention", "encoder.layers.0.blocks.1", "bnc", (13, 13), 4
    ),
    "transformers swin v2": Case(
        HF["Swin V2"],
        "encoder.layers.0.blocks.1.attention.self",
        "encoder.layers.0.blocks.1",
        "bnc",
        (13, 13),
        4,
    ),
    "transformers segformer": Case(
        HF["SegFormer"], "stages.0.blocks.0.attention", "stages.0.blocks.0.attention", "bnc", (16, 16), 4
    ),
    "transformers pvt": Case(
        HF["PVT v2"],
        "encoder.layers.0.blocks.0.attention",
        "encoder.layers.0.blocks.0.layer_norm_1",
        "bnc",
        (16, 16),
        4,
    ),
    "transformers sam": Case(
        HF["SAM vision"], "vision_encoder.layers.0.attn", "vision_encoder.layers.0", "bhwc", (5, 5), 16
    ),
}
NIGHTLY: dict[str, Case] = {
    "eva": Case(
        by_timm("eva02_tiny_patch14_224", 224, 224), "blocks.1.attn", "blocks.1", "bnc", (16, 16), 14, 1
    ),
    "beit": Case(
        by_timm("beit_base_patch16_224", 224, 224), "blocks.1.attn", "blocks.1", "bnc", (14, 14), 16, 1
    ),
    "relpos": Case(
        by_timm("vit_relpos_small_patch16_224", 224, 224), "blocks.1.attn", "blocks.1", "bnc", (14, 14), 16
    ),
    "naflex": Case(
        by_timm("naflexvit_base_patch16_gap", 64, 96), "blocks.1.attn", "blocks.1", "bnc", (4, 6), 16, 4
    ),
    "swin v2 cr": Case(
        sized("swinv2_cr_tiny_ns_224", 64, 96, window_size=(4, 4)),
        "stages.0.blocks.1.attn",
        "stages.0.blocks.1",
        "bhwc",
        (16, 24),
        4,
    ),
    "maxvit, block": Case(
        by_timm("maxvit_rmlp_pico_rw_256", 256, 256),
        "stages.0.blocks.0.attn_block.attn",
        "stages.0.blocks.0.attn_block",
        "bhwc",
        (64, 64),
        4,
    ),
    "maxvit, grid": Case(
        by_timm("maxvit_rmlp_pico_rw_256", 256, 256),
        "stages.0.blocks.0.attn_grid.attn",
        "stages.0.blocks.0.attn_grid",
        "bhwc",
        (64, 64),
        4,
    ),
    "coatnet": Case(
        by_timm("coatnet_nano_rw_224", 224, 224),
        "stages.2.blocks.1.attn",
        "stages.2.blocks.1.attn",
        "bchw",
        (14, 14),
        16,
    ),
    "davit": Case(
        by_timm("davit_tiny", 72, 100),
        "stages.0.blocks.0.0.attn",
        "stages.0.blocks.0.0.norm1",
        "bnc",
        (18, 25),
        4,
    ),
    "tiny_vit": Case(
        by_timm("tiny_vit_5m_224", 72, 104), "stages.1.blocks.0.attn", "stages.1.blocks.0", "bhwc", (9, 13), 8
    ),
    "gcvit": Case(
        by_timm("gcvit_xxtiny", 224, 224), "stages.0.blocks.0.attn", "stages.0.blocks.0", "bhwc", (56, 56), 4
    ),
    "gcvit, global": Case(
        by_timm("gcvit_xxtiny", 224, 224),
        "stages.0.blocks.1.attn",
        "stages.0.blocks.1",
        "bhwc",
        (56, 56),
        4,
        queries=False,
    ),
    "efficientvit msra": Case(
        by_timm("efficientvit_m0", 224, 224),
        "stages.0.blocks.0.mixer.m.attn",
        "stages.0.blocks.0.mixer.m",
        "bchw",
        (14, 14),
        16,
    ),
    "nest": Case(
        by_timm("nest_tiny", 224, 224), "levels.0.transformer_encoder.0.attn", "levels.0", "bchw", (56, 56), 4
    ),
    "twins, local": Case(
        by_timm("twins_svt_small", 72, 104), "blocks.0.0.attn", "blocks.0.0.attn", "bnc", (18, 26), 4
    ),
    "twins, global": Case(
        by_timm("twins_svt_small", 128, 192), "blocks.0.1.attn", "blocks.0.1.attn", "bnc", (32, 48), 4
    ),
    "pvt": Case(
        by_timm("pvt_v2_b0", 128, 192), "stages.0.blocks.0.attn", "stages.0.blocks.0.attn", "bnc", (32, 48), 4
    ),
    "pvt, linear": Case(
        by_timm("pvt_v2_b2_li", 128, 192),
        "stages.0.blocks.0.attn",
        "stages.0.blocks.0.attn",
        "bnc",
        (32, 48),
        4,
    ),
    "nextvit": Case(
        by_timm("nextvit_small", 256, 256),
        "stages.1.blocks.3.e_mhsa",
        "stages.1.blocks.3.e_mhsa",
        "bnc",
        (32, 32),
        8,
    ),
    "levit": Case(
        by_timm("levit_128s", 224, 224),
        "stages.0.blocks.0.attn",
        "stages.0.blocks.0.attn",
        "bnc",
        (14, 14),
        16,
    ),
    "levit, downsample": Case(
        by_timm("levit_128s", 224, 224),
        "stages.1.downsample.attn_downsample",
        "stages.1.downsample.attn_downsample",
        "bnc",
        (14, 14),
        16,
        step=2,
    ),
    "efficientformer": Case(
        by_timm("efficientformer_l1", 224, 224),
        "stages.3.blocks.4.token_mixer",
        "stages.3.blocks.4.token_mixer",
        "bnc",
        (7, 7),
        32,
    ),
    "efficientformer v2": Case(
        by_timm("efficientformerv2_s0", 224, 224),
        "stages.3.blocks.3.token_mixer",
        "stages.3.blocks.3.token_mixer",
        "bchw",
        (7, 7),
        32,
        queries=False,
    ),
    "shvit": Case(
        by_timm("shvit_s1", 224, 224),
        "stages.1.blocks.2.mixer.m",
        "stages.1.blocks.2.mixer.m",
        "bchw",
        (7, 7),
        32,
    ),
    "botnet": Case(
        by_timm("botnet26t_256", 256, 256),
        "stages.2.1.self_attn",
        "stages.2.1.self_attn",
        "bchw",
        (16, 16),
        16,
    ),
    "halonet": Case(
        by_timm("halonet26t", 256, 256), "stages.2.1.self_attn", "stages.2.1.self_attn", "bchw", (16, 16), 16
    ),
    "lambda": Case(
        by_timm("lambda_resnet26t", 256, 256),
        "stages.2.1.self_attn",
        "stages.2.1.self_attn",
        "bchw",
        (16, 16),
        16,
        queries=False,
    ),
    "mobilevit": Case(
        by_timm("mobilevit_xxs", 128, 192),
        "stages.2.1.transformer.0.attn",
        "stages.2.1.conv_1x1",
        "bchw",
        (16, 24),
        8,
    ),
    "mobilevit v2": Case(
        by_timm("mobilevitv2_050", 128, 192),
        "stages.2.1.transformer.0.attn",
        "stages.2.1.conv_1x1",
        "bchw",
        (16, 24),
        8,
        queries=False,
    ),
    "hiera": Case(by_timm("hiera_tiny_224", 224, 224), "blocks.0.attn", "patch_embed>", "bnc", (56, 56), 4),
    "sam": Case(
        by_timm("samvit_base_patch16", 256, 256, img_size=256),
        "blocks.0.attn",
        "blocks.0",
        "bhwc",
        (16, 16),
        16,
    ),
    "sam 2": Case(by_timm("sam2_hiera_tiny", 192, 256), "blocks.0.attn", "blocks.0", "bhwc", (48, 64), 4),
    "sam 2, pooled": Case(
        by_timm("sam2_hiera_tiny", 192, 256), "blocks.1.attn", "blocks.1", "bhwc", (48, 64), 4
    ),
    "mvit": Case(
        by_timm("mvitv2_tiny", 224, 224),
        "stages.1.blocks.0.attn",
        "stages.1.blocks.0.attn",
        "bnc",
        (56, 56),
        4,
        step=2,
    ),
    "coat": Case(
        by_timm("coat_lite_tiny", 224, 224),
        "serial_blocks1.0.factoratt_crpe",
        "serial_blocks1.0.factoratt_crpe",
        "bnc",
        (56, 56),
        4,
        1,
    ),
    "lite mla": Case(
        by_timm("efficientvit_b0", 128, 192),
        "stages.2.blocks.1.context_module.main",
        "stages.2.blocks.1.context_module.main",
        "bchw",
        (8, 12),
        16,
    ),
    "convit": Case(by_timm("convit_tiny", 224, 224), "blocks.0.attn", "blocks.0", "bnc", (14, 14), 16),
    "cait": Case(by_timm("cait_xxs24_224", 224, 224), "blocks.0.attn", "blocks.0", "bnc", (14, 14), 16),
    "cait, class": Case(
        by_timm("cait_xxs24_224", 224, 224),
        "blocks_token_only.0.attn",
        "blocks_token_only.0.attn",
        "bnc",
        (14, 14),
        16,
        1,
        queries=False,
    ),
    "xcit, class": Case(
        by_timm("xcit_nano_12_p16_224", 224, 288),
        "cls_attn_blocks.0.attn",
        "cls_attn_blocks.0.attn",
        "bnc",
        (14, 18),
        16,
        1,
        queries=False,
    ),
    "volo": Case(
        by_timm("volo_d1_224", 224, 224), "network.2.0.attn", "network.2.0.attn", "bhwc", (14, 14), 16
    ),
    "tnt": Case(
        by_timm("tnt_s_patch16_224", 224, 224),
        "blocks.0.attn_out",
        "blocks.0.attn_out",
        "bnc",
        (14, 14),
        16,
        1,
    ),
    "crossvit": Case(
        by_timm("crossvit_tiny_240", 240, 240),
        "blocks.0.blocks.0.0.attn",
        "blocks.0.blocks.0.0",
        "bnc",
        (20, 20),
        12,
        1,
    ),
    "visformer": Case(
        by_timm("visformer_tiny", 224, 224), "stage2.0.attn", "stage2.0.attn", "bchw", (14, 14), 16
    ),
    "fastvit": Case(
        by_timm("fastvit_sa12", 192, 256),
        "stages.3.blocks.0.token_mixer",
        "stages.3.blocks.0.token_mixer",
        "bchw",
        (6, 8),
        32,
    ),
    "caformer": Case(
        by_timm("caformer_s18", 192, 256),
        "stages.2.blocks.0.token_mixer",
        "stages.2.blocks.0.token_mixer",
        "bnc",
        (12, 16),
        16,
    ),
    "mobilenet v4": Case(
        by_timm("mobilenetv4_hybrid_medium", 192, 256),
        "blocks.2.4.attn",
        "blocks.2.4.attn",
        "bchw",
        (12, 16),
        16,
    ),
    "clip pool": Case(
        by_timm("resnet50_clip", 224, 224), "attnpool", "attnpool", "bchw", (7, 7), 32, queries=False
    ),
}


def check(case: Case) -> None:
    torch.manual_seed(0)
    model, given = case.make()
    model = prepared(model)
    picture = next(iter(given.values())).shape[-2:]
    given = {name: x[:1] for name, x in given.items()}
    rows, columns = case.size
    cells = ((0, 0), (rows // 2, columns // 2 - 1), (rows - 1, columns - 1), (1, columns - 2))
    for cell in [(row - row % case.step, column - column % case.step) for row, column in cells]:
        found, keys, queries = planted(case, model, given, cell)
        assert found.geometry is not None, found.note
        pixel = (int(cell[0] * case.stride) + 1, int(cell[1] * case.stride) + 1)  # near its first corner
        shown = looks_at(found, keys, tuple(picture))
        assert shown[pixel] > 0.98 * shown[~shown.isnan()].max() > 0, (found, cell)
        if case.queries:
            group, row = divmod(int(queries.flatten().argmax()), queries.shape[1])
            places = found.geometry.queries
            meant = found._entries(places, pixel, tuple(picture), found.grouped().shape[1])
            assert (group, row) in meant, (found, cell, (group, row), meant)


@pytest.mark.parametrize("name", FAST)
def test_a_planted_pixel_is_where_the_geometry_says(name: str) -> None:
    check(FAST[name])


@pytest.mark.nightly
@pytest.mark.parametrize("name", NIGHTLY)
def test_a_planted_pixel_is_where_the_geometry_says_in_every_family(name: str) -> None:
    check(NIGHTLY[name])
