"""The inserted part alone goes through a file and into the same base model elsewhere."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from foveate.errors import CheckpointError, SiteError
from foveate.insert.insert_file import load_insert, save_insert
from foveate.insert.inserted_parts import insert_config, inserted_parameters
from foveate.insert.surgery import insert
from tests.insert.handwritten import Branches, randomise

EXAMPLE = torch.rand(2, 3, 32, 48, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def plain() -> nn.Module:
    torch.manual_seed(1)
    return randomise(Branches()).eval()


def trained(plain: nn.Module, spec: str, start: str = "identity") -> nn.Module:
    attended = insert(plain, spec, example=EXAMPLE, start=start).eval()  # type: ignore[arg-type]
    with torch.no_grad():
        for parameter in inserted_parameters(attended):
            parameter.uniform_(0.1, 0.6)
    return attended


@pytest.mark.parametrize(
    ("spec", "start"),
    [
        ("se@blocks+cbam@stage2", "identity"),
        ("se(reduction=2)@blocks", "paper"),
        ("csra(heads=2)@output+cbam_pool@pool", "identity"),
        ("control(like=se, reduction=2)@blocks", "identity"),
    ],
)
def test_a_file_gives_the_same_model_elsewhere(
    plain: nn.Module, tmp_path: Path, spec: str, start: str
) -> None:
    attended = trained(plain, spec, start)
    path = save_insert(attended, tmp_path / "attention.safetensors")
    elsewhere = load_insert(plain, path, example=EXAMPLE)
    assert torch.equal(elsewhere(EXAMPLE), attended(EXAMPLE))
    assert not torch.allclose(elsewhere(EXAMPLE), plain(EXAMPLE))
    assert insert_config(elsewhere) == insert_config(attended)


def test_the_file_holds_the_inserted_part_alone_and_says_what_it_is(plain: nn.Module, tmp_path: Path) -> None:
    attended = trained(plain, "se@blocks")
    path = save_insert(attended, tmp_path / "attention.safetensors")
    with safe_open(path, framework="pt") as file:
        header, names = file.metadata(), list(file.keys())
    assert len(names) == len(inserted_parameters(attended))
    assert all(".foveate." in name for name in names)
    assert json.loads(header["insert"]) == {
        "spec": "se@blocks",
        "start": "identity",
        "example": [2, 3, 32, 48],
    }
    assert json.loads(header["versions"])["torch"]
    assert [p.name for p in tmp_path.iterdir()] == ["attention.safetensors"]


def test_another_base_model_is_refused_and_what_differs_is_named(plain: nn.Module, tmp_path: Path) -> None:
    path = save_insert(trained(plain, "se@blocks"), tmp_path / "attention.safetensors")
    with pytest.raises(CheckpointError, match=r"head\.2\.weight is \[5, 16\] there and \[7, 16\] here"):
        load_insert(Branches(classes=7), path, example=EXAMPLE)


def test_what_is_no_such_file_is_refused(plain: nn.Module, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no weights")
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_insert(plain, tmp_path / "text", example=EXAMPLE)
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_insert(plain, tmp_path / "absent", example=EXAMPLE)
    save_file({"weight": torch.ones(1)}, tmp_path / "other")
    with pytest.raises(CheckpointError, match=r"fv\.save_insert"):
        load_insert(plain, tmp_path / "other", example=EXAMPLE)


def test_a_plain_model_has_nothing_to_save(plain: nn.Module, tmp_path: Path) -> None:
    with pytest.raises(SiteError, match="nothing was inserted"):
        save_insert(plain, tmp_path / "attention.safetensors")
