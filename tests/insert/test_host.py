"""Hosts of every build: containers, and modules that return tuples, dictionaries or records."""

from __future__ import annotations

import copy
from collections import OrderedDict, namedtuple
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from foveate.errors import SiteError
from foveate.insert.host import attended_class, plain_class
from foveate.insert.inserted_parts import gate_parameters, openings
from foveate.insert.surgery import bypass, insert, remove

IMAGE = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
Pair = namedtuple("Pair", ["map", "extra"])


@dataclass
class Record:
    map: Tensor
    note: str


def opened(model: nn.Module, spec: str) -> nn.Module:
    attended = insert(model, spec, example=IMAGE)
    for gate in gate_parameters(attended):
        nn.init.ones_(gate)
    return attended


def sequence() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 6, 3))


def test_a_sequence_neither_runs_nor_counts_nor_lists_the_holder() -> None:
    plain = nn.ModuleDict({"body": sequence()})
    model = nn.Sequential(OrderedDict(body=plain["body"], tail=nn.ReLU()))
    attended = opened(model, "se@body")
    body = attended.body
    assert len(body) == 3
    assert [type(layer).__name__ for layer in body] == ["Conv2d", "ReLU", "Conv2d"]
    assert body[-1] is body[2] and body[0].out_channels == 8
    assert len(body[:2]) == 2 and type(body[:2]) is nn.Sequential
    assert "foveate" in dict(body.named_children()) and "foveate" in str(body)
    assert torch.equal(attended(IMAGE), body.foveate.se(model.body(IMAGE)).relu())
    with pytest.raises(IndexError):
        body[3]


class Layers(nn.ModuleDict):
    """Runs its layers in order, as torchvision's dense blocks and feature getters do."""

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        found = {}
        for name, layer in self.items():
            x = layer(x)
            found[name] = x
        return OrderedDict(found)


class Getter(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = Layers({"a": nn.Conv2d(3, 4, 3), "b": nn.Conv2d(4, 5, 3)})

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return self.layers(x)


def test_a_mapping_neither_runs_nor_counts_nor_lists_the_holder() -> None:
    attended = opened(Getter(), "se@before:layers")
    layers = attended.layers
    assert list(layers) == list(layers.keys()) == ["a", "b"] == [name for name, _ in layers.items()]
    assert len(layers) == len(layers.values()) == 2
    assert list(attended(IMAGE)) == ["a", "b"]


class Chain(nn.ModuleList):
    """Runs its layers in order, as a list with a forward of its own."""

    def forward(self, x: Tensor) -> Tensor:
        for layer in self:
            x = layer(x)
        return x


def test_a_list_with_a_forward_neither_runs_nor_counts_the_holder() -> None:
    model = nn.Sequential(Chain([nn.Conv2d(3, 4, 3), nn.Conv2d(4, 5, 3)]))
    attended = opened(model, "se@0")
    assert len(attended[0]) == 2 and attended[0][-1].out_channels == 5
    assert type(attended[0][:1]) is nn.ModuleList
    assert torch.equal(attended(IMAGE), attended[0].foveate.se(model(IMAGE)))


class Greedy(nn.Module):
    """Runs every child it has."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 5, 3)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.children():
            x = layer(x)
        return x


def test_a_module_that_would_run_the_holder_as_a_layer_is_refused() -> None:
    with pytest.raises(SiteError, match="ran its inserted child as one of its own layers"):
        insert(nn.Sequential(Greedy()), "se@0", example=IMAGE)


class Returns(nn.Module):
    """Returns its map in some wrapping."""

    def __init__(self, wrap: str) -> None:
        super().__init__()
        self.conv, self.wrap = nn.Conv2d(3, 6, 3), wrap

    def forward(self, x: Tensor) -> object:
        x = self.conv(x)
        wraps = {"tuple": (x, 1), "list": [None, x], "named": Pair(x, "extra"), "record": Record(x, "note")}
        return wraps[self.wrap]


class Outer(nn.Module):
    def __init__(self, wrap: str) -> None:
        super().__init__()
        self.inner = Returns(wrap)

    def forward(self, x: Tensor) -> object:
        return self.inner(x)


@pytest.mark.parametrize("wrap", ["tuple", "list", "named", "record"])
def test_the_first_tensor_is_attended_and_its_wrapping_kept(wrap: str) -> None:
    model = Outer(wrap)
    attended = opened(model, "se@inner")
    out, plain = attended(IMAGE), model(IMAGE)
    assert type(out) is type(plain)
    found = {"tuple": lambda o: o[0], "list": lambda o: o[1]}.get(wrap, lambda o: o.map)
    assert torch.equal(found(out), attended.inner.foveate.se(found(plain)))


def test_the_class_is_made_once_and_named_after_the_host() -> None:
    first, second = (opened(sequence(), "se@0") for _ in range(2))
    assert type(first[0]) is type(second[0]) is attended_class(nn.Conv2d)
    assert type(first[0]).__name__ == "AttendedConv2d" and isinstance(first[0], nn.Conv2d)
    assert plain_class(first[0]) is nn.Conv2d
    assert type(copy.deepcopy(first)[0]) is type(first[0])


def test_a_forward_replaced_on_the_module_itself_is_refused() -> None:
    model = sequence()
    model[0].forward = model[0].forward  # as some libraries do to hook in
    with pytest.raises(SiteError, match="its forward was replaced"):
        insert(model, "se@0", example=IMAGE)


def test_a_tensor_given_by_keyword_is_found() -> None:
    class Keyword(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, pixels: Tensor) -> Tensor:
            return self.conv(input=pixels)

    model = Keyword()
    attended = insert(model, "se@before:conv+input_gate@input", example={"pixels": IMAGE})
    assert torch.equal(attended(pixels=IMAGE), model(pixels=IMAGE))
    assert len(openings(attended)) == 2


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # torch's own, from its compiler
def test_switching_off_reaches_a_compiled_model() -> None:
    plain = sequence()
    attended = opened(plain, "se@1")
    compiled = torch.compile(attended, backend="aot_eager", fullgraph=True)
    weighed = compiled(IMAGE)
    assert torch.allclose(weighed, attended(IMAGE), atol=1e-6)
    with bypass(compiled):
        assert torch.allclose(compiled(IMAGE), plain(IMAGE), atol=1e-6)
    assert torch.allclose(compiled(IMAGE), weighed, atol=1e-6)
    assert list(openings(compiled)) == ["_orig_mod.1.foveate.se"]
    assert torch.equal(remove(attended)(IMAGE), plain(IMAGE))
