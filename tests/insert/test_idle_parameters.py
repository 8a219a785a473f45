"""Every parameter that asks for a gradient gets one, at both starts: what distributed training needs."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from foveate.errors import SiteError
from foveate.insert.surgery import insert, remove
from foveate.mechanisms import mechanisms
from tests.contracts.contract import each

SITES = {"refine": "b", "pool": "pool", "label": "output"}
NAMES = [name for name in sorted(mechanisms) if mechanisms[name].interface in SITES]
IMAGES = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))


class Net(nn.Module):
    """A classifier with a normalisation between its map and its head."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = (nn.Conv2d(i, 32, 3, 2, 1) for i in (3, 32, 32))
        self.pool, self.norm, self.fc = nn.AdaptiveAvgPool2d(1), nn.LayerNorm(32), nn.Linear(32, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.c(self.b(self.a(x).relu()).relu()).relu()
        return self.fc(self.norm(self.pool(x).flatten(1)))


def without_gradient(model: nn.Module) -> list[str]:
    model.train()(IMAGES).sum().backward()
    return [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]


@pytest.mark.parametrize("start", [pytest.param("identity", marks=pytest.mark.slow), "paper"])
@pytest.mark.parametrize("name", each(NAMES))
def test_every_parameter_gets_a_gradient(name: str, start: str) -> None:
    spec = f"{name}@{SITES[mechanisms[name].interface]}"
    assert not without_gradient(insert(Net(), spec, example=IMAGES, start=start))


def test_what_attention_stands_for_rests_until_it_is_removed() -> None:
    model = Net()
    model.a.weight.requires_grad_(False)
    attended = insert(model, "csra@output", example=IMAGES, start="paper")
    resting = [name for name, p in attended.named_parameters() if not p.requires_grad]
    assert resting == ["a.weight", "norm.weight", "norm.bias", "fc.weight", "fc.bias"]
    with pytest.raises(SiteError, match="csra"):  # which would have no effect any more
        insert(copy.deepcopy(attended), "query2label@output", example=IMAGES, start="paper")
    assert [n for n, p in remove(attended).named_parameters() if not p.requires_grad] == ["a.weight"]


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[None]:
    distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("spec", ["csra@output", "query2label@output", "attention_pool@pool"])
def test_distributed_training_goes_on(spec: str) -> None:
    model = DistributedDataParallel(insert(Net(), spec, example=IMAGES, start="paper").train())
    for _ in range(2):
        model(IMAGES).sum().backward()  # the second step fails if the first left a parameter out
