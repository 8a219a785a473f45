"""Modules that a model goes around, or that nobody reads, are told at the insertion."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from foveate.errors import SiteError
from foveate.insert.inserted_parts import gate_parameters, openings
from foveate.insert.surgery import bypass, insert, remove

IMAGE = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))


class Net(nn.Module):
    """Two convolutions, the first used in some way."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.first, self.act, self.last = nn.Conv2d(3, 8, 3), nn.ReLU(inplace=True), nn.Conv2d(8, 5, 3)
        self.way, self.quick = way, False

    def forward(self, x: Tensor) -> Tensor:
        made = self.first(x)
        if self.way == "dropped":
            made = nn.functional.conv2d(x, self.first.weight, self.first.bias)
        if self.way == "in place":
            self.act(made)
        if self.way == "through numpy":
            made = torch.from_numpy(made.detach().numpy() + 1)
        if self.way == "into a view":
            room = made.new_zeros(made.shape)
            room[:, 2:] = made[:, 2:]
            made = room
        if self.way == "as a size":
            made = made + (made.mean() > 0)
        return self.last(made)


@pytest.mark.parametrize("start", ["identity", "paper"])
@pytest.mark.parametrize(("way", "site"), [("dropped", "first"), ("in place", "act")])
def test_what_nobody_reads_is_named(way: str, site: str, start: str) -> None:
    with pytest.raises(SiteError, match=f"se at {site}: nothing reads what comes out there"):
        insert(Net(way).eval(), f"eca@last+se@{site}", example=IMAGE, start=start)


@pytest.mark.parametrize("way", ["through numpy", "into a view", "as a size"])
def test_what_is_read_in_odd_ways_is_a_site(way: str) -> None:
    attended = insert(Net(way).eval(), "se@first", example=IMAGE)
    nn.init.ones_(gate_parameters(attended)[0])
    with bypass(attended):
        plain = attended(IMAGE)
    assert not torch.allclose(attended(IMAGE), plain)


def test_a_head_of_zeros_hides_nothing() -> None:
    model = Net("").eval()
    nn.init.zeros_(model.last.weight)
    assert openings(insert(model, "se@first", example=IMAGE)) == {"first.foveate.se": 0.0}


def test_scores_of_whole_numbers_do_not_tell() -> None:
    class Labels(Net):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x).argmax(dim=1)

    assert openings(insert(Labels("").eval(), "se@first", example=IMAGE))


class Shortcut(Net):
    """Looks at the layer once, and runs by another way when no gradient is wanted."""

    def forward(self, x: Tensor) -> Tensor:
        if self.quick or torch.backends.mha.get_fastpath_enabled():
            return self.last(nn.functional.conv2d(x, self.first.weight, self.first.bias))
        return super().forward(x)


def test_a_way_around_a_module_is_named() -> None:
    with pytest.raises(SiteError, match="se at first: the model bypasses the module"):
        insert(Shortcut("").eval(), "se@first", example=IMAGE)


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 16, 4, stride=4)
        layer = nn.TransformerEncoderLayer(16, 2, 24, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2)

    def forward(self, x: Tensor, padding: Tensor | None = None) -> Tensor:
        return self.encoder(self.patches(x).flatten(2).transpose(1, 2), src_key_padding_mask=padding)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")  # the plain model's own
@pytest.mark.parametrize("spec", ["se@encoder.layers.0.linear2", "se@encoder.layers.*", "eca@encoder"])
def test_a_fused_transformer_infers_as_it_trains(spec: str) -> None:
    model = Encoder().eval()
    attended = insert(model, spec, example=IMAGE)
    nn.init.ones_(gate_parameters(attended)[0])
    padding = torch.zeros(2, 16, dtype=torch.bool)
    padding[0, 12:] = True
    for more in ((), (padding,)):
        with_gradients = attended(IMAGE, *more).detach()
        with torch.inference_mode():
            found, plain = attended(IMAGE, *more), model(IMAGE, *more)
        kept = slice(0, 12)
        torch.testing.assert_close(found[:, kept], with_gradients[:, kept], rtol=1e-4, atol=1e-5)
        assert not torch.allclose(found[:, kept], plain[:, kept], atol=1e-4)
    restored = remove(attended)
    with torch.inference_mode():
        assert torch.equal(restored(IMAGE, padding), model(IMAGE, padding))


def test_inserting_again_into_opened_attention() -> None:
    once = insert(Net("").eval(), "se@first", example=IMAGE)
    nn.init.ones_(gate_parameters(once)[0])
    twice = insert(once, "eca@last", example=IMAGE)
    assert torch.equal(twice(IMAGE), once(IMAGE))


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")  # torch's, for both tools
def test_models_that_cannot_be_taken_say_what_to_do() -> None:
    normed = nn.Sequential(nn.utils.weight_norm(nn.Conv2d(3, 4, 3)), nn.ReLU())
    with pytest.raises(SiteError, match=r"torch\.nn\.utils\.parametrizations, or remove them first"):
        insert(normed, "se@1", example=IMAGE)
    scripted = torch.jit.trace(nn.Sequential(nn.Conv2d(3, 4, 3)), IMAGE)
    with pytest.raises(SiteError, match="Pass the model that it was made from"):
        insert(scripted, "se@0", example=IMAGE)
