"""Sites are what the definitions of the models say, for every family and any number of images."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from foveate.errors import SiteError
from foveate.insert.inserted_parts import openings
from foveate.insert.sites import Site, Survey
from foveate.insert.surgery import insert
from foveate.insert.survey import survey
from foveate.nested_tensors import bit_equal
from tests.insert.families import FAMILIES, FEW, Family, build


def marks(name: str) -> list[pytest.MarkDecorator]:
    """Return no mark for one family, the nightly one for all but the few."""
    return [] if name == "tv/resnet18" else [pytest.mark.slow if name in FEW else pytest.mark.nightly]


CROSS = [pytest.param(name, marks=marks(name)) for name in FAMILIES]


def named(found: Survey, alias: str) -> list[Site]:
    return [site for site in found.sites if alias in site.aliases]


def of_classes(model: nn.Module, found: Survey, classes: str) -> list[str]:
    """Return the outermost modules of some classes that ran."""
    kinds = classes.split("|")
    ran = [p for p, m in model.named_modules() if type(m).__name__ in kinds and p in found.run.counts]
    return [path for path in ran if not any(path.startswith(f"{other}.") for other in ran)]


def check_blocks(family: Family, model: nn.Module, found: Survey) -> None:
    blocks = [site.path for site in named(found, "blocks")]
    if family.blocks:
        assert sorted(blocks) == sorted(of_classes(model, found, family.blocks))
    else:
        assert len(blocks) == family.count
    if not blocks and "blocks" not in found.run.counts:  # LCNet calls all of its layers that
        with pytest.raises(SiteError, match=r"No residual or transformer block|cannot be used: "):
            found.find("blocks")


def check_stages(family: Family, model: nn.Module, found: Survey) -> None:
    """Each is in ``feature_info``, and all of it but what lies in front of the first block is one."""
    stages = [(site.height, site.channels) for site in named(found, "features")]
    assert [name for site in found.sites for name in site.aliases if name.startswith("stage")] == [
        f"stage{n}" for n in range(1, len(stages) + 1)
    ]
    if family.stages:
        assert tuple(channels for _, channels in stages) == family.stages
        return
    info = model.feature_info if isinstance(model.feature_info, list) else model.feature_info.info
    last = {entry["reduction"]: entry["num_chs"] for entry in info}
    said = [(math.ceil(family.size / reduction), channels) for reduction, channels in last.items()]
    rows = [height for height, _ in stages]
    said = [(height, channels) for height, channels in said if height <= rows[0] + 1]
    assert [channels for _, channels in said] == [channels for _, channels in stages]
    assert all(abs(height - row) <= 1 for (height, _), row in zip(said, rows, strict=True))


def check_ends(family: Family, found: Survey) -> None:
    assert [site.classes for site in named(found, "output")] == [4]
    stems = [site.path for site in named(found, "stem")]
    assert len(stems) == 1 or (not stems and named(found, "blocks")[0].path.startswith("stem"))
    assert [site.kind for site in named(found, "pool")][1:] == ["pool"] * family.pools


@pytest.mark.parametrize("name", CROSS)
def test_sites_are_what_the_definition_says_for_any_number_of_images(name: str) -> None:
    family, model = FAMILIES[name], build(name)
    seen: list[list[Site]] = []
    for images in (1, 3):
        found = survey(model, torch.empty(images, 3, family.size, family.size, device="meta"))
        if not seen:
            check_blocks(family, model, found)
            check_stages(family, model, found)
            check_ends(family, found)
            assert all(found.run.runs_once(site.path) for site in found.sites)
        seen.append(found.sites)
    assert seen[0] == seen[1]


def test_a_family_that_is_not_as_its_definition_says_has_a_reason() -> None:
    assert len(FAMILIES) >= 150
    for name, family in FAMILIES.items():
        assert family.why or not family.stages or name.startswith("tv/"), name
        assert family.why or family.blocks or name in ("lcnet_035", "tv/alexnet", "tv/vgg11_bn"), name


SWIN: dict[str, object] = {
    "image_size": 64, "patch_size": 4, "embed_dim": 12, "num_heads": [1, 2, 3], "window_size": 4,
    "num_labels": 4
}  # fmt: skip
VIT: dict[str, object] = {
    "image_size": 64, "patch_size": 8, "hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 2,
    "intermediate_size": 48, "num_labels": 4
}  # fmt: skip
HIERA: dict[str, object] = {
    "image_size": [64, 64], "embed_dim": 12, "depths": [1, 2, 2], "num_heads": [1, 2, 3], "num_labels": 4,
    "query_stride": [2, 2], "num_query_pool": 2, "masked_unit_size": [4, 4],
    "masked_unit_attention": [True, True, False]
}  # fmt: skip
ROWS_OF = {
    "Swin": [16, 8, 4], "Swinv2": [16, 8, 4], "DonutSwin": [16, 8, 4], "Hiera": [16, 8, 4],
    "Levit": [4, 2, 1], "Pvt": [16, 8, 4, 2]
}  # fmt: skip

HUGGING_FACE: dict[str, tuple[str, dict[str, object], int]] = {
    "Swin": ("SwinForImageClassification", {"depths": [2, 2, 2], **SWIN}, 6),
    "Swinv2": ("Swinv2ForImageClassification", {"depths": [1, 1, 2], **SWIN}, 4),
    "DonutSwin": ("DonutSwinForImageClassification", {"depths": [2, 2, 2], **SWIN}, 6),
    "Hiera": ("HieraForImageClassification", HIERA, 5),
    "ViT": ("ViTForImageClassification", VIT, 3),
    "Dinov2": ("Dinov2ForImageClassification", VIT, 3),
    "Beit": ("BeitForImageClassification", VIT, 3),
    "Yolos": ("YolosForObjectDetection", {**VIT, "image_size": [64, 64], "num_detection_tokens": 5}, 3),
    "Pvt": ("PvtForImageClassification", {"image_size": 64, "depths": [1, 1, 1, 2], "num_labels": 4}, 5),
    "Levit": ("LevitForImageClassification", {"image_size": 64, "depths": [1, 1, 1], "num_labels": 4}, 10),
}


MARKS = dict.fromkeys(HUGGING_FACE, pytest.mark.nightly)  # variants of Swin and ViT
MARKS |= dict.fromkeys(("Hiera", "Levit", "Pvt"), pytest.mark.slow)


@pytest.mark.parametrize(
    "name", [n if n in ("Swin", "ViT") else pytest.param(n, marks=MARKS[n]) for n in HUGGING_FACE]
)
def test_transformers_of_hugging_face_have_their_sites_for_any_number_of_images(name: str) -> None:
    import transformers

    kind, options, blocks = HUGGING_FACE[name]
    torch.manual_seed(0)
    model = getattr(transformers, kind)(getattr(transformers, f"{name}Config")(**options)).eval()
    seen: list[list[Site]] = []
    for images in (1, 3):
        found = survey(model, {"pixel_values": torch.rand(images, 3, 64, 64)})
        assert len(named(found, "blocks")) + len(found.unused) == blocks
        assert named(found, "features")
        seen.append(found.sites)
    assert seen[0] == seen[1]
    assert [s.height for s in named(found, "features")] == ROWS_OF.get(name, [8])


@pytest.mark.parametrize("name", ["Swin", pytest.param("Hiera", marks=pytest.mark.slow)])
def test_attention_behind_every_block_and_in_place_of_pooling_starts_equal_to_the_bit(name: str) -> None:
    import transformers

    kind, options, blocks = HUGGING_FACE[name]
    torch.manual_seed(0)
    model = getattr(transformers, kind)(getattr(transformers, f"{name}Config")(**options)).eval()
    x = {"pixel_values": torch.rand(2, 3, 64, 64)}
    made = insert(model, "coordinate@blocks+cbam@features+cbam_pool@pool+csra@output", example=x)
    assert bit_equal(made(**x).logits, model(**x).logits)
    assert sum("coordinate" in path for path in openings(made)) == blocks
