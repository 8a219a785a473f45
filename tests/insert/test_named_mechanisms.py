"""Any module of the user's own can be inserted by its import path, priced, controlled, saved and compared."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import foveate as fv
from foveate.errors import FoveateError, OptionError, SiteError, TrustError, UnknownNameError
from foveate.insert.control import control_spec
from foveate.insert.inserted_parts import gate_parameters, openings
from foveate.insert.named_mechanisms import Own, child_name
from foveate.insert.spec import parse
from tests.insert import own_modules

HERE = "tests.insert.own_modules"
X = torch.rand(2, 3, 32, 32)


@pytest.fixture(scope="module")
def plain() -> torch.nn.Module:
    torch.manual_seed(0)
    return fv.create_model("resnet8", classes=4).eval()


@pytest.mark.parametrize("spec", [f"{HERE}:ScaleGate(width=2)@blocks", f"{HERE}:Nothing@stage2+se@stage3"])
def test_keeps_the_laws_of_insertion(plain: torch.nn.Module, spec: str) -> None:
    attended = fv.insert(plain, spec, example=X).eval()
    assert torch.equal(attended(X), plain(X))
    assert set(plain.state_dict()) < set(attended.state_dict())
    for gate in gate_parameters(attended):
        gate.data.fill_(1.0)
    assert not torch.allclose(attended(X), plain(X))
    with fv.bypass(attended):
        assert torch.equal(attended(X), plain(X))
    assert torch.equal(fv.remove(attended)(X), plain(X))
    assert str(parse(spec)) == spec


def test_computes_what_the_module_computes(plain: torch.nn.Module) -> None:
    attended = fv.insert(plain, f"{HERE}:Nothing@stage2", example=X, start="paper").eval()
    doubled = fv.remove(attended)
    doubled.layer2.register_forward_hook(lambda module, given, output: 2 * output)
    assert torch.equal(attended(X), doubled(X))


def test_its_cost_is_counted(plain: torch.nn.Module) -> None:
    gate = Own(16, path=f"{HERE}:ScaleGate", width=4)
    found = gate.cost(8, 8)
    assert (found.parameters, found.macs) == (16 * 4 + 4 + 4 * 16 + 16, 2 * 16 * 4)
    attended = fv.insert(plain, f"{HERE}:ScaleGate@stage1", example=X)
    added = fv.cost(attended, X) - fv.cost(plain, X)
    assert (added.parameters, added.macs) == (found.parameters + 1, found.macs)


def test_has_a_control_of_equal_cost(plain: torch.nn.Module) -> None:
    spec = control_spec(parse(f"{HERE}:ScaleGate(width=8)@blocks"))
    assert parse(str(spec)) == spec
    attended = fv.insert(plain, spec, example=X)
    like = fv.insert(plain, f"{HERE}:ScaleGate(width=8)@blocks", example=X)
    ours, theirs = (fv.cost(model, X) - fv.cost(plain, X) for model in (attended, like))
    assert abs(ours.parameters - theirs.parameters) <= 0.05 * theirs.parameters


def test_the_inserted_part_is_saved_and_loaded(plain: torch.nn.Module, tmp_path: Path) -> None:
    attended = fv.insert(plain, f"{HERE}:ScaleGate@stage1", example=X).eval()
    gate_parameters(attended)[0].data.fill_(0.7)
    fv.save_insert(attended, tmp_path / "gate.safetensors")
    with pytest.raises(TrustError, match="ScaleGate"):
        fv.load_insert(plain, tmp_path / "gate.safetensors", example=X)
    again = fv.load_insert(plain, tmp_path / "gate.safetensors", example=X, trust_code=True).eval()
    assert torch.equal(again(X), attended(X))


def test_records_the_maps_that_are_known_and_nothing_of_ones_own(plain: torch.nn.Module) -> None:
    attended = fv.insert(plain, f"{HERE}:ScaleGate@stage1+se@stage2", example=X)
    with fv.record(attended) as maps:
        attended(X)
    assert [path.split(".")[-1] for path in maps] == ["se"]


@pytest.mark.parametrize(
    ("spec", "kind", "words"),
    [
        ("no_such_module_here:Gate@blocks", UnknownNameError, "no_such_module_here"),
        (f"{HERE}:ScaleGat@blocks", UnknownNameError, "Nearest: ScaleGate"),
        (f"{HERE}:ScaleGate(wdth=2)@blocks", OptionError, "wdth"),
        (f"{HERE}:NamedDim@blocks", OptionError, "dim"),
        (f"{HERE}:Halves@blocks", SiteError, "expected a tensor of the same shape"),
        (f"{HERE}:not_a_module@blocks", OptionError, "expected a torch.nn.Module"),
        (f"{HERE}:Refuses@stage1", OptionError, rf"^{HERE}:Refuses\(\d+\) cannot be built: \d+ channels are"),
        (f"{HERE}:WithoutCost@blocks", OptionError, "does not define cost"),
    ],
)
def test_what_cannot_be_used_is_refused(
    plain: torch.nn.Module, spec: str, kind: type[FoveateError], words: str
) -> None:
    with pytest.raises(kind, match=words):
        fv.insert(plain, spec, example=X)


def test_the_child_is_named_after_the_class() -> None:
    assert child_name("a.b:GatedMLP") == "gated_mlp"
    assert child_name("a:eca_layer") == "eca_layer"
    assert child_name("a:HTTPGate2d") == "http_gate2d"
    assert isinstance(own_modules.Nothing(), torch.nn.Module)


@pytest.mark.parametrize(
    ("spec", "names"),
    [
        pytest.param(f"{HERE}:Add@stage1+{HERE}:Add@stage1", ["add_2", "add_3"], marks=pytest.mark.slow),
        (f"{HERE}:Slots@stage1", ["slots_2"]),
        pytest.param(f"se@stage1+{HERE}:SeGate@stage1", ["se", "se_gate_2"], marks=pytest.mark.slow),
        (f"{HERE}:SeGate@stage1+se@stage1", ["se_gate", "se_2"]),
    ],
)
def test_a_class_may_be_called_as_what_its_holder_has(
    plain: torch.nn.Module, spec: str, names: list[str], tmp_path: Path
) -> None:
    attended = fv.insert(plain, spec, example=X).eval()
    assert [path.split(".")[-1] for path in openings(attended)] == names
    assert torch.equal(attended(X), plain(X))
    for number, gate in enumerate(gate_parameters(attended), 1):
        gate.data.fill_(0.3 * number)
    fv.save_insert(attended, tmp_path / "own.safetensors")
    again = fv.load_insert(plain, tmp_path / "own.safetensors", example=X, trust_code=True).eval()
    assert torch.equal(again(X), attended(X)) and not torch.equal(again(X), plain(X))
