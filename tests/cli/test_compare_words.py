"""The words of ``foveate compare`` and ``train``: seeds, names of variants, recipes, and errors."""

import json
from dataclasses import fields

import pytest

from foveate.cli.__main__ import main
from foveate.cli.compare import _seeds, _variants
from foveate.errors import OptionError
from foveate.recipe import TrainConfig

DATA = "scenes(size=24, classes=3, train=24, val=0, test=12)"


def test_seeds_are_a_number_or_a_list():
    assert _seeds("5") == 5
    assert _seeds("0, 3,8") == (0, 3, 8)
    for text in ("3.5", "--3", "0,²", "9" * 5000):
        with pytest.raises(OptionError, match=f'--seeds: got "{text}"'):
            _seeds(text)


def test_variants_may_have_names():
    assert _variants(["se@blocks", "cbam@stage3"]) == ["se@blocks", "cbam@stage3"]
    assert _variants(["narrow = se(reduction=32)@blocks", "eca@blocks"]) == {
        "narrow": "se(reduction=32)@blocks",
        "eca@blocks": "eca@blocks",
    }
    with pytest.raises(OptionError, match="two variants are called"):
        _variants(["a=se@blocks", "a=eca@blocks"])


@pytest.mark.parametrize("command", ["train", "compare"])
def test_every_field_of_the_recipe_is_an_option(command, capsys):
    main([command, "--help"])
    printed = capsys.readouterr().out
    for field in fields(TrainConfig):
        option = f"--{field.name.replace('_', '-')}"
        assert option in printed, option


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["compare", DATA], "name a variant, such as --try se@blocks"),
        (["compare", DATA, "--try", "se@blocks", "--seeds", "few"], "--seeds"),
        (["compare", DATA, "--try", "se@blocks", "--engine", "ray"], 'no engine is called "ray"'),
        (["compare", DATA, "--try", "se@blocks", "--pretrained"], "--weights PATH"),
        (["compare", DATA, "--try", "se@blocks", "--model", "plain=resnet8"], '--model "resnet8"'),
    ],
)
def test_errors_speak_the_language_of_the_command_line(words, text, capsys):
    assert main(words) == 2
    assert text in capsys.readouterr().err


@pytest.mark.slow
def test_names_and_recipe_reach_the_plan(capsys):
    said = ["--try", "narrow=se(reduction=32)@blocks", "--try", "resnet14", "--seeds", "4,7", "--epochs", "1"]
    sgd = ["--optimizer", "sgd", "--lr", "0.1", "--weight-decay", "5e-4", "--clip", "0"]
    steps = ["--batch-size", "16", "--augment", "flip", "--gate-reach", "3"]
    assert main(["compare", DATA, *said, *sgd, *steps, "--dry-run", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["variants"][1]["name"] == "narrow" and plan["seeds"] == [4, 7]
    assert plan["variants"][2]["model"] == "resnet14" and plan["variants"][2]["macs"] > 0
    expected = {
        "optimizer": "sgd",
        "lr": 0.1,
        "weight_decay": 5e-4,
        "clip": None,
        "batch_size": 16,
        "augment": "flip",
        "gate_reach": 3,
        "epochs": 1,
    }
    assert expected.items() <= plan["train"].items()
