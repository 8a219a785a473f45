"""Toys of transformers' models: two layers, built from configurations with random weights."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

Toy = tuple[nn.Module, dict[str, Tensor]]
_SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}


def _picture(*shape: int) -> dict[str, Tensor]:
    return {"pixel_values": torch.randn(shape, generator=torch.Generator().manual_seed(1))}


def _words(*shape: int) -> dict[str, Tensor]:
    return {"input_ids": torch.randint(3, 90, shape, generator=torch.Generator().manual_seed(1))}


def _plain(name: str, **options: object) -> Callable[[], Toy]:
    def make() -> Toy:
        import transformers

        config = getattr(transformers, f"{name}Config")(**_SMALL, image_size=48, patch_size=16, **options)
        return getattr(transformers, f"{name}Model")(config), _picture(2, 3, 48, 48)

    return make


def _text(name: str, **options: object) -> Callable[[], Toy]:
    def make() -> Toy:
        import transformers

        config = getattr(transformers, f"{name}Config")(vocab_size=99, **options)
        given = _words(2, 7)
        if config.is_encoder_decoder:
            given["decoder_input_ids"] = _words(2, 5)["input_ids"]
        return getattr(transformers, f"{name}Model")(config), given

    return make


def _pyramid(name: str, size: int, **options: object) -> Callable[[], Toy]:
    def make() -> Toy:
        import transformers

        config = getattr(transformers, f"{name}Config")(image_size=size, **options)
        return getattr(transformers, f"{name}Model")(config), _picture(2, 3, size, size)

    return make


def _detr() -> Toy:
    import transformers

    config = transformers.DetrConfig(
        use_timm_backbone=True, use_pretrained_backbone=False, backbone="resnet18", d_model=32, num_queries=5,
        encoder_layers=1, decoder_layers=1, encoder_attention_heads=2, decoder_attention_heads=2,
        encoder_ffn_dim=64, decoder_ffn_dim=64,
    )  # fmt: skip
    return transformers.DetrModel(config), _picture(1, 3, 96, 64)


def _sam() -> Toy:
    import transformers

    config = transformers.SamVisionConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=80, patch_size=16,
        window_size=3, global_attn_indexes=[1], output_channels=16,
    )  # fmt: skip
    return transformers.SamVisionModel(config), _picture(1, 3, 80, 80)


def _mask2former() -> Toy:
    import transformers

    backbone = transformers.SwinConfig(
        image_size=64, embed_dim=16, depths=[1, 1, 1, 1], num_heads=[1, 1, 1, 1], window_size=4,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )  # fmt: skip
    config = transformers.Mask2FormerConfig(
        backbone_config=backbone, hidden_dim=32, feature_size=32, mask_feature_size=32, num_queries=5,
        encoder_layers=1, decoder_layers=4, num_attention_heads=2, encoder_feedforward_dim=32,
        dim_feedforward=32,
    )  # fmt: skip
    return transformers.Mask2FormerModel(config), _picture(2, 3, 96, 64)


_SWIN = {"embed_dim": 16, "depths": [2, 2], "num_heads": [2, 2], "patch_size": 4}
_T5 = {"d_model": 32, "d_kv": 16, "d_ff": 64, "num_layers": 2, "num_heads": 2, "decoder_start_token_id": 0}
_PVT = {"hidden_sizes": [16, 32, 32, 32], "depths": [1, 1, 1, 1], "num_attention_heads": [1, 2, 2, 2]}

HF: dict[str, Callable[[], Toy]] = {
    "ViT": _plain("ViT"),
    "DeiT": _plain("DeiT"),
    "BEiT": _plain("Beit", use_relative_position_bias=True),
    "DINOv2": _plain("Dinov2"),
    "DINOv2 with registers": _plain("Dinov2WithRegisters", num_register_tokens=2),
    "CLIP vision": _plain("CLIPVision"),
    "SigLIP vision": _plain("SiglipVision"),
    "BLIP vision": _plain("BlipVision"),
    "CLIP text": _text("CLIPText", **_SMALL),
    "Swin": _pyramid("Swin", 52, window_size=4, **_SWIN),
    "Swin V2": _pyramid("Swinv2", 52, window_size=4, **_SWIN),
    "SegFormer": _pyramid(
        "Segformer", 64, hidden_sizes=[16, 32, 32, 32], depths=[1, 1, 1, 1], num_attention_heads=[1, 2, 2, 2]
    ),
    "PVT v2": _pyramid("PvtV2", 64, **_PVT),
    "SAM vision": _sam,
    "DETR": _detr,
    "Mask2Former": _mask2former,
    "BERT": _text("Bert", **_SMALL),
    "GPT-2": _text("GPT2", n_embd=32, n_layer=2, n_head=2),
    "Llama": _text("Llama", num_key_value_heads=1, **_SMALL),
    "T5": _text("T5", **_T5),
    "Marian": _text(
        "Marian", d_model=32, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=64, decoder_ffn_dim=64, pad_token_id=0, eos_token_id=1,
        decoder_start_token_id=0, forced_eos_token_id=1,
    ),
}  # fmt: skip
