"""Segmenters of every form: their places are found by what flows, and the laws of insertion hold there."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import pytest
from torch import Tensor, nn

from foveate.insert.insert_file import load_insert, save_insert
from foveate.insert.inserted_parts import gate_parameters, inserted_parameters
from foveate.insert.sites import Site
from foveate.insert.surgery import bypass, insert, remove
from foveate.insert.survey import sites
from foveate.nested_tensors import bit_equal, tensors_in
from foveate.running import call_with, eval_seeded
from tests.insert.segmenters import SEGMENTERS

ALIASES = ("input", "features", "skip", "bottleneck", "output")
# One of these for each model, in turn.
LAWS = ("copies", "remove", "bypass", "gradients", "file")


def outputs(model: nn.Module, example: Tensor) -> object:
    with eval_seeded(model):
        return call_with(model, example)


def named(found: list[Site], alias: str) -> tuple[str, ...]:
    here = [site for site in found if alias in site.aliases]
    return tuple(f"before:{site.path}" if site.where == "before" else site.path for site in here)


# In each gate: skips by argument, by join and by sum, gates in the model, none; the others are nightly.
GATE = ("deeplabv3plus", "unet", "pan", "smp_unet_of_a_transformer", "smp_linknet", "torchvision_fcn")
MARKS = dict.fromkeys(SEGMENTERS, pytest.mark.nightly) | dict.fromkeys(GATE, pytest.mark.slow)
NAMES = [n if n == "unet" else pytest.param(n, marks=MARKS[n]) for n in SEGMENTERS]


@pytest.mark.parametrize("name", NAMES)
def test_places_are_found_and_a_law_holds_there(name: str, tmp_path: Path) -> None:
    position = GATE.index(name) if name in GATE else list(SEGMENTERS).index(name)
    case = SEGMENTERS[name]
    model, example = case.model(), case.example()
    found = sites(model, example)
    assert set(named(found, "skip")) == set(case.skip)
    assert named(found, "bottleneck") == (case.bottleneck,)
    assert named(found, "output") == (case.output,)
    assert ("before:",) == named(found, "input") or not case.whole
    assert named(found, "features") == tuple(p for n in range(1, 9) for p in named(found, f"stage{n}"))
    terms = [f"se@{alias}" for alias in ALIASES[1:] if named(found, alias)]
    gates = ["attention_gate@skip"] if case.skip else []
    attended = insert(model, "+".join(["input_gate@input", *terms, *gates]), example=example)
    plain = outputs(model, example)
    assert bit_equal(outputs(attended, example), plain)
    assert model.state_dict().keys() <= attended.state_dict().keys()
    check(LAWS[position % len(LAWS)], model, attended, example, plain, tmp_path)


def check(
    law: str, model: nn.Module, attended: nn.Module, example: Tensor, plain: object, folder: Path
) -> None:
    for gate in gate_parameters(attended):
        nn.init.constant_(gate, 0.5)
    if law == "remove":
        restored = remove(attended)
        assert str(restored) == str(model)
        assert bit_equal(outputs(restored, example), plain)
    elif law == "bypass":
        assert not bit_equal(outputs(attended, example), plain)
        with bypass(attended):
            assert bit_equal(outputs(attended, example), plain)
    elif law == "copies":
        expected = outputs(attended, example)
        for twin in (copy.deepcopy(attended), pickle.loads(pickle.dumps(attended))):
            assert bit_equal(outputs(twin, example), expected)
    elif law == "gradients":
        sum(t.square().mean() for t in tensors_in(attended(example))).backward()
        assert all(p.grad is not None for p in inserted_parameters(attended))
        assert all(gate.grad.abs().max() > 0 for gate in gate_parameters(attended))
    else:
        again = load_insert(model, save_insert(attended, folder / "inserted.safetensors"), example=example)
        assert bit_equal(outputs(again, example), outputs(attended, example))
