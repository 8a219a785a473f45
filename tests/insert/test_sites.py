"""Sites are found by what flows, named by aliases, and errors name the near misses."""

from __future__ import annotations

import pytest
import torch
import torchvision.models as tv
from torch import Tensor, nn

from foveate.errors import OptionError, ShapeError, SiteError, SpecError, UnknownNameError
from foveate.insert.inserted_parts import inserted
from foveate.insert.patterns import matches
from foveate.insert.sites import Site
from foveate.insert.surgery import insert
from foveate.insert.survey import sites
from tests.insert.handwritten import Branches, Shared
from tests.insert.insert_models import CASES

IMAGE = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def paths(found: list[Site], alias: str) -> list[str]:
    return [site.path for site in found if alias in site.aliases]


@pytest.fixture(scope="module")
def resnet() -> nn.Module:
    torch.manual_seed(0)
    return tv.resnet18(num_classes=5).eval()


def test_a_resnet(resnet: nn.Module) -> None:
    found = sites(resnet, IMAGE)
    assert [paths(found, f"stage{n}") for n in (1, 2, 3, 4)] == [[f"layer{n}"] for n in (1, 2, 3, 4)]
    assert not paths(found, "stage5")
    assert paths(found, "blocks") == [f"layer{s}.{b}" for s in (1, 2, 3, 4) for b in (0, 1)]
    assert paths(found, "stem") == ["maxpool"]
    assert [(s.path, s.where) for s in found if "input" in s.aliases] == [("conv1", "before")]
    assert [(s.path, s.where, s.kind) for s in found if "pool" in s.aliases] == [
        ("avgpool", "before", "map"),
        ("avgpool", "after", "pool"),
    ]
    stage3 = next(site for site in found if "stage3" in site.aliases)
    assert stage3 == Site("layer3", ("stage3", "features"), "map", 256, 4, 4)
    scores = next(site for site in found if site.kind == "scores")
    assert (scores.path, scores.channels, scores.classes, scores.aliases) == ("fc", 512, 5, ("output",))


@pytest.mark.parametrize(
    ("name", "blocks", "first", "stages", "kind"),
    [
        (
            "mobilenet_v3_small",
            11,
            "features.1",
            ["features.1", "features.3", "features.8", "features.11"],
            "map",
        ),
        ("densenet121", 3, "features.denseblock1", [f"features.denseblock{n}" for n in (1, 2, 3)], "map"),
        ("convnext_tiny", 6, "features.1.0", ["features.1", "features.3", "features.5"], "map"),
        ("swin_t", 4, "features.1.0", ["features.1", "features.3"], "grid"),
        pytest.param(
            "timm_swin_tiny", 4, "layers.0.blocks.0", ["layers.0", "layers.1"], "grid", marks=pytest.mark.slow
        ),
        pytest.param(
            "timm_mobilevitv2",
            9,
            "stages.0.0",
            [f"stages.{n}" for n in range(5)],
            "map",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "timm_lite0",
            16,
            "blocks.0.0",
            [f"blocks.{n}" for n in (0, 1, 2, 4, 6)],
            "map",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "fasterrcnn",
            15,
            "backbone.body.1",
            [f"backbone.body.{n}" for n in (1, 3, 6, 12, 15)],
            "map",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "smp_unet",
            8,
            "encoder.layer1.0",
            [f"encoder.layer{n}" for n in (1, 2, 3, 4)],
            "map",
            marks=pytest.mark.slow,
        ),
        # the last block of a transformer with a class token is left out: nobody reads its positions
        ("vit_b_16", 2, "encoder.layers.encoder_layer_0", ["encoder.layers.encoder_layer_1"], "tokens"),
        pytest.param("timm_vit_tiny", 2, "blocks.0", ["blocks.1"], "tokens", marks=pytest.mark.slow),
        pytest.param(
            "hugging_face_vit", 2, "vit.layers.0", ["vit.layers.1"], "tokens", marks=pytest.mark.slow
        ),
    ],
)
def test_blocks_and_stages(name: str, blocks: int, first: str, stages: list[str], kind: str) -> None:
    case = CASES[name]
    found = sites(case.model(), case.example())
    assert len(paths(found, "blocks")) == blocks
    assert paths(found, "blocks")[0] == first
    assert [paths(found, f"stage{n + 1}") for n in range(len(stages) + 1)] == [[s] for s in stages] + [[]]
    assert {site.kind for site in found if "blocks" in site.aliases} == {kind}


def test_tokens_know_their_grid_and_prefix() -> None:
    case = CASES["timm_vit_tiny"]
    block = next(s for s in sites(case.model(), case.example()) if "blocks" in s.aliases)
    assert (block.channels, block.height, block.width, block.prefix) == (24, 4, 4, 1)


@pytest.mark.slow
def test_a_dense_model() -> None:
    case = CASES["deeplabv3_resnet50"]
    torch.manual_seed(0)
    found = sites(case.build().eval(), case.example())
    assert paths(found, "bottleneck") == ["classifier.0"]
    assert paths(found, "output") == ["classifier"]
    assert [paths(found, f"stage{n}") for n in (1, 2, 3, 4)] == [[f"backbone.layer{n}"] for n in (1, 2, 3, 4)]
    assert not paths(found, "pool")


def test_skips_are_the_arguments_of_the_decoder() -> None:
    case = CASES["smp_unet"]
    skips = [site for site in sites(case.model(), case.example()) if "skip" in site.aliases]
    assert [(s.path, s.where, s.argument) for s in skips] == [
        (f"decoder.blocks.{n}", "before", "skip_connection") for n in range(4)
    ]
    assert [(s.channels, s.height) for s in skips] == [(256, 4), (128, 8), (64, 16), (64, 32)]


class Up(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(12, 4, 3, padding=1)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        return self.conv(torch.cat((nn.functional.interpolate(x, scale_factor=2), skip), dim=1))


class HandwrittenUnet(nn.Module):
    """An encoder, a decoder, and a skip that is given by position."""

    def __init__(self) -> None:
        super().__init__()
        self.down1, self.down2 = nn.Conv2d(3, 4, 3, 1, 1), nn.Conv2d(4, 8, 3, 2, 1)
        self.up, self.head = Up(), nn.Conv2d(4, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        fine = self.down1(x)
        return self.head(self.up(self.down2(fine), fine))


def test_a_skip_given_by_position_is_weighed_and_the_trunk_is_not() -> None:
    model = HandwrittenUnet()
    paper = insert(model, "se@skip", example=IMAGE, start="paper")
    fine = model.down1(IMAGE)
    expected = model.head(model.up(model.down2(fine), paper.up.foveate.se(fine)))
    assert torch.equal(paper(IMAGE), expected)
    assert list(inserted(insert(model, "se@bottleneck+eca@output", example=IMAGE))) == ["down2", "head"]


def test_pooling_by_a_function_is_found() -> None:
    case = CASES["densenet121"]
    found = [s for s in sites(case.model(), case.example()) if "pool" in s.aliases]
    assert [(s.path, s.where, s.kind, s.source) for s in found] == [
        ("features", "after", "map", None),
        ("classifier", "before", "pool", ("features", "after")),
    ]


def test_a_plain_chain_has_stages_by_resolution() -> None:
    chain = nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 12, 3, 1, 1), nn.ReLU()
    )
    found = sites(chain, IMAGE)
    assert [paths(found, name) for name in ("stem", "stage1", "stage2", "blocks")] == [
        ["0"],
        ["1"],
        ["4"],
        [],
    ]


def test_the_model_is_left_as_it_was(resnet: nn.Module) -> None:
    model = tv.resnet18(num_classes=5).train()
    model.layer1.eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    sites(model, IMAGE)
    assert torch.equal(torch.rand(1), expected)
    assert model.training and not model.layer1.training and model.layer2.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


@pytest.mark.parametrize(
    ("pattern", "path", "fits"),
    [
        ("layer[34].*", "layer3.0", True),
        ("layer[34].*", "layer3.0.conv1", False),
        ("layer[34].*", "layer2.0", False),
        ("layer[34].*.bn2", "layer4.1.bn2", True),
        ("blocks.[0-5]", "blocks.4", True),
        ("blocks.[0-5]", "blocks.6", False),
        ("*.se", "blocks.1.2.se", True),
        ("*.se", "se", False),
        ("conv1", "layer1.0.conv1", False),
        ("layer?", "layer1", True),
    ],
)
def test_globs(pattern: str, path: str, fits: bool) -> None:
    assert matches(pattern, path) is fits


def test_globs_and_places_in_a_spec(resnet: nn.Module) -> None:
    assert list(inserted(insert(resnet, "se@layer[34].*", example=IMAGE))) == [
        "layer3.0", "layer3.1", "layer4.0", "layer4.1"
    ]  # fmt: skip
    assert list(inserted(insert(resnet, "se@*.bn2", example=IMAGE))) == [
        f"layer{s}.{b}.bn2" for s in (1, 2, 3, 4) for b in (0, 1)
    ]
    before = insert(resnet, "se@before:layer2", example=IMAGE)
    assert before.layer2[0].foveate.se.channels == 64
    assert insert(resnet, "se@layer2", example=IMAGE).layer2[1].foveate.se.channels == 128


ERRORS = [
    ("se@layer5", SiteError, r'no site of ResNet matches "layer5"\. Nearest: layer'),
    ("se@stage7", SiteError, "Nearest: stage"),
    ("se@layer9.*", SiteError, "Aliases here: input, stem"),
    ("se@skip", SiteError, "no site of ResNet"),
    ("se@layer1.0.relu", SiteError, "layer1.0.relu, which runs 2 times"),
    ("se@*.relu", SiteError, "which runs 2 times"),
    ("cbam_pool@stage3", SiteError, r"so it can sit only where the model does that: @pool.*avgpool"),
    ("csra@pool", SiteError, r"can sit only where a classifier's scores are made.*before fc|fc \(output\)"),
    ("se@output", SiteError, "A classifier's scores are not a map: class-wise attention such as csra"),
    ("se@fc", SiteError, "weighs a map"),
    ("se@replace:layer2", SiteError, "must have the shape of what comes out"),
    ("multi_head(heads=7)@layer2", (OptionError, SiteError), "7"),
    ("cbma@layer2", UnknownNameError, "Nearest: cbam"),
    ("se(reductoin=2)@layer2", OptionError, "reduction"),
    ("se(device=cpu)@layer2", OptionError, "device"),
    ("control@layer2", OptionError, "like="),
    ("se@layer2@", SpecError, "cannot read"),
]


@pytest.mark.parametrize(("spec", "error", "text"), ERRORS)
def test_errors_name_what_would_do(resnet: nn.Module, spec: str, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        insert(resnet, spec, example=IMAGE)


def test_channels_that_a_mechanism_cannot_take_are_answered_with_sites_that_it_can() -> None:
    model = Branches()  # 8 and 16 channels
    with pytest.raises(SiteError, match=r"blocks\.0, where 8 channels flow.*It could at: .*16 channels"):
        insert(model, "multi_head(heads=16)@blocks.0", example=IMAGE)


def test_modules_that_do_not_run_and_examples_that_do_not_fit() -> None:
    with pytest.raises(SiteError, match="idle, which did not run"):
        insert(Shared(), "se@idle", example=IMAGE)
    with pytest.raises(SiteError, match="act, which runs 2 times"):
        insert(Shared(), "se@act", example=IMAGE)
    with pytest.raises(SiteError, match="does not run on the example"):
        sites(Shared(), torch.rand(1, 4, 8, 8))
    with pytest.raises(ShapeError, match="expected what the model takes"):
        sites(Shared(), "an image")


def test_a_block_whose_positions_nobody_reads_is_refused() -> None:
    case = CASES["timm_vit_tiny"]
    with pytest.raises(SiteError, match=r"only the class token goes on.*before:blocks\.2"):
        insert(case.model(), "se@blocks.2", example=case.example())
    assert "blocks.2" in inserted(insert(case.model(), "se@before:blocks.2", example=case.example()))


class Wild(nn.Module):
    """Gives another output each time."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.runs = nn.Conv2d(3, 4, 3), 0

    def forward(self, x: Tensor) -> Tensor:
        self.runs += 1
        return self.conv(x) * self.runs


def test_a_model_that_is_never_the_same_cannot_be_verified() -> None:
    with pytest.raises(SiteError, match="another output each time"):
        insert(Wild(), "se@conv", example=IMAGE)
