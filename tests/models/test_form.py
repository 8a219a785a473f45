"""Files of weights say which form of a network they are for."""

import copy
import json
import logging
from functools import partial

import pytest
import torch

import foveate as fv
from foveate.errors import CheckpointError
from foveate.models.form import METADATA, form_of
from foveate.tensor_file import save_tensors
from tests.drawn import drawn, unset

slow = partial(pytest.param, marks=pytest.mark.slow)
PAIRS = [  # forms whose weights have the same names and shapes, and what tells them apart
    ("danet(paper=True, encoder=timm/test_resnet)", "danet(encoder=timm/test_resnet)", "paper=True"),
    slow("danet(encoder=resnet18, multi_grid=(1, 2))", "danet(encoder=resnet18)", r"multi_grid=\(1, 2\)"),
    ("se_resnet18(placement=identity, stages=(1,))", "se_resnet18(stages=(1,))", "placement=identity"),
    slow("bam_resnet18(combine=multiply)", "bam_resnet18", "combine=multiply"),
    slow("se_resnet18", "se_resnet18(caffe=True)", "caffe=False"),
]


def written(name, path, **more):
    model = drawn(unset(fv.create_model, name, classes=3, **more))
    save_tensors(model.state_dict(), path, form_of(model))
    return path


@pytest.mark.parametrize(("made", "asked", "said"), PAIRS)
def test_weights_of_another_form_are_refused(tmp_path, made, asked, said):
    path = written(made, tmp_path / "model.safetensors")
    model = unset(fv.create_model, asked, classes=3)
    for load in (fv.load_published, lambda m, p: fv.create_model(asked, classes=3, weights=p)):
        with pytest.raises(CheckpointError, match=f"Create it with {said}"):
            load(model, path)
    assert fv.load_published(unset(fv.create_model, made, classes=3), path) == ()


def test_the_same_form_said_otherwise_and_what_training_alone_needs_are_no_matter(tmp_path):
    path = written(
        "danet(encoder=timm/test_resnet, dropout=0.3, paper=False)", tmp_path / "model.safetensors"
    )
    same = unset(fv.create_model, "foveate/danet", classes=3, encoder="timm/test_resnet")
    assert fv.load_published(same, path) == ()
    path = written("se_resnet18(reduction=16)", tmp_path / "model.safetensors")
    assert fv.load_published(unset(fv.create_model, "se_resnet18", classes=3), path) == ()


def test_a_file_that_says_nothing_is_taken_by_its_shapes(tmp_path):
    model = drawn(unset(fv.create_model, "danet(encoder=timm/test_resnet, paper=True)", classes=3))
    torch.save(model.state_dict(), tmp_path / "model.pth")
    save_tensors(model.state_dict(), tmp_path / "a.safetensors", {METADATA: "not ( a model"})
    for name in ("model.pth", "a.safetensors"):
        plain = unset(fv.create_model, "danet(encoder=timm/test_resnet)", classes=3)
        assert fv.load_published(plain, tmp_path / name) == ()


def test_older_files_are_known_by_the_config_beside_them(tmp_path):
    model = drawn(unset(fv.create_model, "danet(encoder=timm/test_resnet, paper=True)", classes=3))
    save_tensors(model.state_dict(), tmp_path / "model.safetensors")
    config = {"model": "danet(encoder=timm/test_resnet, paper=True)", "classes": ["a", "b", "c"]}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="paper=True"):
        fv.create_model("danet(encoder=timm/test_resnet)", classes=3, weights=tmp_path / "model.safetensors")


def test_copies_carry_their_form_and_others_networks_have_none():
    model = unset(fv.create_model, "se_resnet18", classes=3, reduction=8)
    assert form_of(copy.deepcopy(model)) == {METADATA: "se_resnet18(reduction=8)"}
    assert form_of(unset(fv.create_model, "torchvision/resnet18")) == {}


@pytest.mark.parametrize(("options", "warned"), [({}, True), ({"multi_grid": (1, 2, 4)}, False)])
def test_danets_dilations_that_no_file_shows_are_warned_of(caplog, options, warned):
    with torch.device("meta"):
        model = fv.create_model("danet", classes=3, encoder="resnet50", **options)
        names = {f"pretrained.layer4.0.conv{n}.weight": torch.zeros(1) for n in (1, 2, 3)}
        with caplog.at_level(logging.WARNING, logger="foveate"):
            model.from_published(names)
    assert ("multi_grid=(1, 2, 4)" in caplog.text) == warned
