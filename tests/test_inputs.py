"""What is no model, or no input, is answered by our own errors at every door."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import foveate as fv
from foveate.errors import FoveateError, ShapeError
from tests.contracts.contract import told

NET = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3))
X = torch.rand(1, 3, 8, 8)
NO_INPUT: dict[str, object] = {
    "none": None,
    "numpy": np.ones((1, 3, 8, 8), np.float32),
    "meta": X.to("meta"),
    "sparse": X.to_sparse(),
    "no width": torch.rand(1, 3, 8, 0),
    "no image": torch.rand(0, 3, 8, 8),
    "text": "x",
    "list": [X, None],
    "empty": [],
    "scalar": torch.tensor(3.0),
    "whole numbers": torch.ones(1, 3, 8, 8, dtype=torch.long),
    "complex": X.to(torch.complex64),
}
DOORS: dict[str, Callable[[Any], object]] = {
    "insert": lambda x: fv.insert(NET, "se@1", example=x),
    "sites": lambda x: fv.sites(NET, x),
    "cost": lambda x: fv.cost(NET, x),
    "refine": fv.mechanisms["se"](3),
    "label": fv.mechanisms["csra"](3, classes=2),
    "fuse": lambda x: fv.mechanisms["feature_fusion"](3)([x, x]),
    "gate": lambda x: fv.mechanisms["attention_gate"](3, gating=3)(X, x),
    "read": lambda x: fv.mechanisms["additive"](3)(x, x),
}


@pytest.mark.parametrize("door", DOORS)
def test_what_is_no_input_is_told(door: str) -> None:
    for kind, wrong in NO_INPUT.items():
        if kind != "no image":
            with told(kind), pytest.raises(FoveateError):
                DOORS[door](wrong)


@pytest.mark.parametrize("door", ["insert", "sites", "cost"])
def test_the_fault_of_an_example_is_named(door: str) -> None:
    for kind, words in {
        "numpy": "from_numpy",
        "meta": "meta device",
        "sparse": "sparse",
        "no width": "empty",
        "no image": "empty",
        "none": "got None",
    }.items():
        with pytest.raises(ShapeError, match=words):
            DOORS[door](NO_INPUT[kind])


@pytest.mark.parametrize("model", [None, "resnet18", nn.ReLU, 3, X], ids=lambda model: type(model).__name__)
def test_what_is_no_model_is_told(model: Any, tmp_path: Any) -> None:
    doors: list[Callable[[], object]] = [
        lambda: fv.insert(model, "se@1", example=X),
        lambda: fv.sites(model, X),
        lambda: fv.cost(model, X),
        lambda: fv.record(model).__enter__(),
        lambda: fv.bypass(model).__enter__(),
        lambda: fv.remove(model),
        lambda: fv.save_insert(model, tmp_path / "a"),
        lambda: fv.load_insert(model, tmp_path / "a", example=X),
    ]
    for door in doors:
        with pytest.raises(ShapeError, match=r"model: got .*expected a torch\.nn\.Module"):
            door()


@pytest.mark.parametrize(
    "door",
    [
        lambda: fv.create_model(None),  # type: ignore[arg-type]
        lambda: fv.create_model("resnet8", classes=2.5),  # type: ignore[arg-type]
        lambda: fv.create_model("resnet8", classes=-1),
        lambda: fv.create_model("resnet8", weights=3),  # type: ignore[arg-type]
        lambda: fv.create_model("x" * 10_000),
        lambda: fv.list_models(None),  # type: ignore[arg-type]
        lambda: fv.load(None),  # type: ignore[arg-type]
        lambda: fv.load("/dev/null"),
        lambda: fv.insert(NET, None, example=X),  # type: ignore[arg-type]
        lambda: fv.insert(NET, "se@1", example=X, start=[]),  # type: ignore[arg-type]
    ],
)
def test_other_things_than_names_and_paths_are_told(door: Callable[[], object]) -> None:
    with pytest.raises(FoveateError):
        door()
