"""Attention behind or before a stack of blocks sits at its last or first block, and old files still load."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from foveate.insert.insert_file import load_insert, save_insert
from foveate.insert.inserted_parts import gate_parameters, inserted
from foveate.insert.surgery import insert, remove
from foveate.tensor_file import SUM
from tests.insert.changers import resnet

IMAGE = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
SPEC = "se@layer2+se@layer2.1+cbam@layer2+eca@before:layer2+se@before:layer2.0+csra@output"
# As version 0.1 called what is at layer2 itself
OLD = {
    "layer2.1.foveate.se.": "layer2.foveate.se.",
    "layer2.1.foveate.se_gate": "layer2.foveate.se_gate",
    "layer2.1.foveate.se_2": "layer2.1.foveate.se",
    "layer2.1.foveate.cbam": "layer2.foveate.cbam",
    "layer2.0.foveate.eca": "layer2.foveate.eca",
}


def attended() -> nn.Module:
    torch.manual_seed(0)
    model = insert(resnet(), SPEC, example=IMAGE)
    for gate in gate_parameters(model):
        nn.init.constant_(gate, 0.5)
    return model


def old(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return a state with the names of version 0.1."""
    found: dict[str, Tensor] = {}
    for key, value in state.items():
        prefix = next((new for new in OLD if key.startswith(new)), "")
        found[OLD[prefix] + key.removeprefix(prefix) if prefix else key] = value
    return found


def test_what_is_inner_comes_first_whatever_the_order_of_the_terms() -> None:
    model = attended()
    holder = model.layer2[1].foveate
    assert [slot.site for slot in holder.slots] == ["layer2.1", "layer2", "layer2"]
    assert [slot.site for slot in model.layer2[0].foveate.slots] == ["layer2", "layer2.0"]
    x = torch.ones(1, 8, 16, 16)
    y = remove(model).layer2
    at = model.layer2[0].foveate

    def half(x: Tensor, attention: nn.Module) -> Tensor:
        return torch.lerp(x, attention(x), 0.5)

    x_in = half(half(x, at.eca), at.se)
    x_out = y[1](y[0](x_in))
    expected = half(half(half(x_out, holder.se_2), holder.se), holder.cbam)
    torch.testing.assert_close(model.layer2(x), expected)


def test_states_with_the_old_names_load() -> None:
    model = attended()
    state = {
        key: torch.rand_like(value) for key, value in model.state_dict().items() if value.is_floating_point()
    }
    renamed = old(state)
    assert renamed.keys() != state.keys()
    for target in (copy.deepcopy(model), nn.Sequential(copy.deepcopy(model))):
        prefix = "0." if isinstance(target, nn.Sequential) else ""
        answer = target.load_state_dict({prefix + k: v for k, v in renamed.items()}, strict=False)
        assert not answer.unexpected_keys
        assert all("num_batches_tracked" in key for key in answer.missing_keys)
        loaded = target.state_dict()
        assert all(torch.equal(loaded[prefix + key], value) for key, value in state.items())


def test_a_portable_file_with_the_old_names_loads(tmp_path: Path) -> None:
    model = attended()
    path = save_insert(model, tmp_path / "attention.safetensors")
    with safe_open(path, framework="pt") as file:
        header, weights = file.metadata(), {key: file.get_tensor(key) for key in file.keys()}
    del header[SUM]  # which files of that time do not have
    save_file(old(weights), tmp_path / "old.safetensors", header)
    for name in ("attention.safetensors", "old.safetensors"):
        again = load_insert(resnet(), tmp_path / name, example=IMAGE)
        assert torch.equal(again(IMAGE), model(IMAGE))


def test_removed_models_know_nothing_of_old_names() -> None:
    plain = remove(attended())
    assert not any(module._load_state_dict_pre_hooks for module in plain.modules())
    with pytest.raises(RuntimeError, match="Unexpected key"):
        plain.load_state_dict({**plain.state_dict(), "layer2.foveate.se.squeeze.weight": torch.zeros(1)})


class Stage(nn.Module):
    """Runs every child it has, as the stages of timm's RegNets do."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.a, self.b = (nn.Sequential(nn.Conv2d(channels, channels, 3), nn.ReLU()) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        for block in self.children():
            x = block(x)
        return x


def test_a_stage_that_runs_its_children_has_attention_at_its_last() -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 3), Stage(8))
    attended = insert(model, "se@1", example=IMAGE, start="paper")
    assert list(inserted(attended)) == ["1.b"]
    assert torch.equal(attended(IMAGE), attended[1].b.foveate.se(model(IMAGE)))


def test_stacks_of_single_layers_are_hosts_themselves() -> None:
    model = nn.Sequential(nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU()), nn.Conv2d(8, 4, 3))
    assert list(inserted(insert(model, "se@0", example=IMAGE))) == ["0"]
    assert list(inserted(insert(resnet(), "se@layer2+eca@before:layer3", example=IMAGE))) == [
        "layer2.1",
        "layer3.0",
    ]
