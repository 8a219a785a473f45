"""CSRA's and Query2Label's networks: their authors' files load, and compute what they did."""

import math

import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn

import foveate as fv
from foveate.errors import CheckpointError, OptionError, ShapeError
from tests.drawn import drawn, unset

TEMPERATURES = {1: (1,), 4: (1, 2, 4, 99)}


def csra_scores(state, x, heads, lam):
    """The head's logits by its formula; a temperature of 99 takes the maximum."""
    logits = 0
    for number, temperature in enumerate(TEMPERATURES[heads]):
        weight = state[f"classifier.multi_head.{number}.head.weight"][:, :, 0, 0]
        scores = torch.einsum("qc,bcn->bqn", weight / weight.norm(dim=1, keepdim=True), x.flatten(2))
        weights = (temperature * scores).softmax(-1)
        looked = scores.amax(-1) if temperature == 99 else (weights * scores).sum(-1)
        logits = logits + scores.mean(-1) + lam * looked
    return logits


def csra_head(heads, channels, classes):
    generator = torch.Generator().manual_seed(1)
    return {
        f"classifier.multi_head.{number}.head.weight": torch.randn(
            classes, channels, 1, 1, generator=generator
        )
        for number in range(heads)
    }


def without_head(network):
    return {
        name: value for name, value in network.state_dict().items() if not name.startswith(("fc.", "head."))
    }


def last_map(resnet, x):
    x = resnet.maxpool(resnet.bn1(resnet.conv1(x)).relu())
    return resnet.layer4(resnet.layer3(resnet.layer2(resnet.layer1(x))))


@pytest.mark.slow
@pytest.mark.parity("classification.csra")
@pytest.mark.parametrize(("heads", "lam"), [pytest.param(1, 0.1, marks=pytest.mark.nightly), (4, 0.5)])
def test_a_file_of_csras_authors_computes_what_it_did(tmp_path, heads, lam):
    resnet = drawn(unset(torchvision.models.resnet18))
    state = {**without_head(resnet), **csra_head(heads, 512, 7)}
    torch.save(state, tmp_path / "resnet18_voc07_head.pth")
    model = unset(fv.create_model, f"csra(backbone=resnet18, heads={heads}, lam={lam})", classes=7)
    assert fv.load_published(model, tmp_path / "resnet18_voc07_head.pth") == ()
    x = torch.rand(2, 3, 70, 49)
    with torch.no_grad():
        expected = csra_scores(state, last_map(resnet, x), heads, lam)
        torch.testing.assert_close(model.eval()(x), expected, rtol=1e-4, atol=1e-5)


def test_a_file_of_csras_vision_transformer_computes_what_it_did(tmp_path):
    name = "vit_tiny_patch16_224"
    vit = drawn(unset(timm.create_model, name, img_size=64))
    state = {**without_head(vit), **csra_head(1, 192, 5)}
    save_file(state, tmp_path / "vit.safetensors")
    model = unset(fv.create_model, f"csra(backbone=timm/{name}, lam=0.3, img_size=64)", classes=5)
    assert fv.load_published(model, tmp_path / "vit.safetensors") == ()
    x = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        tokens = vit.forward_features(x)[:, 1:].transpose(1, 2).reshape(2, 192, 4, 4)
        expected = csra_scores(state, tokens, 1, 0.3)
        torch.testing.assert_close(model.eval()(x), expected, rtol=1e-4, atol=1e-5)


def test_another_number_of_heads_is_told_though_the_shapes_fit(tmp_path):
    state = {**without_head(drawn(unset(torchvision.models.resnet18))), **csra_head(1, 512, 8)}
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match="heads=1"):
        fv.load_published(
            unset(fv.create_model, "csra(backbone=resnet18, heads=4)", classes=2), tmp_path / "w.pth"
        )


class Query2Label(nn.Module):
    """The authors' network of PyTorch's own layers, under the authors' names."""

    def __init__(self, classes, width, hidden, side):
        super().__init__()
        body = torchvision.models.resnet18()
        del body.fc
        places = nn.Module()
        places.register_buffer("pe", sines(width, side))
        self.backbone = nn.ModuleList([nn.Module(), places])
        self.backbone[0].body = body
        encoder = nn.TransformerEncoderLayer(width, 4, hidden)
        self.transformer = nn.Module()
        self.transformer.encoder, self.transformer.decoder = nn.Module(), nn.Module()
        self.transformer.encoder.layers = nn.ModuleList([encoder])
        layers = [nn.TransformerDecoderLayer(width, 4, hidden) for _ in range(2)]
        for layer in layers:
            del layer.self_attn, layer.norm1
        self.transformer.decoder.layers, self.transformer.decoder.norm = (
            nn.ModuleList(layers),
            nn.LayerNorm(width),
        )
        self.input_proj = nn.Conv2d(512, width, 1) if width != 512 else nn.Identity()
        self.query_embed = nn.Embedding(classes, width)
        self.fc = nn.Module()
        self.fc.W, self.fc.b = (
            nn.Parameter(torch.zeros(1, classes, width)),
            nn.Parameter(torch.zeros(1, classes)),
        )

    def forward(self, x):
        y = self.input_proj(last_map(self.backbone[0].body, x))
        place = self.backbone[1].pe.flatten(2).permute(2, 0, 1)
        memory, layer = y.flatten(2).permute(2, 0, 1), self.transformer.encoder.layers[0]
        read = layer.self_attn(memory + place, memory + place, memory)[0]
        memory = layer.norm1(memory + read)
        memory = layer.norm2(memory + layer.linear2(layer.linear1(memory).relu()))
        queries = self.query_embed.weight[:, None].expand(-1, len(x), -1)
        h = torch.zeros_like(queries)
        for layer in self.transformer.decoder.layers:
            h = layer.norm2(h + layer.multihead_attn(h + queries, memory + place, memory)[0])
            h = layer.norm3(h + layer.linear2(layer.linear1(h).relu()))
        h = self.transformer.decoder.norm(h).transpose(0, 1)
        return (self.fc.W * h).sum(-1) + self.fc.b


def sines(width, side):
    """DETR's, one number at a time."""
    found = torch.zeros(1, width, side, side)
    for channel in range(width):
        wave = channel % (width // 2) // 2
        for i in range(side):
            for j in range(side):
                place = (i if channel < width // 2 else j) + 1
                angle = 2 * math.pi * place / (side + 1e-6) / 10_000 ** (2 * wave / (width // 2))
                found[0, channel, i, j] = math.cos(angle) if channel % 2 else math.sin(angle)
    return found


@pytest.mark.slow
@pytest.mark.parity("classification.query2label")
@pytest.mark.parametrize("width", [64, 512])
def test_a_file_of_query2labels_authors_computes_what_it_did(tmp_path, width):
    theirs = Query2Label(5, width, 96, side=2)
    places = theirs.backbone[1].pe.clone()
    theirs = drawn(theirs)
    theirs.backbone[1].pe.copy_(places)
    state = {f"module.{name}": value for name, value in theirs.state_dict().items()}
    torch.save({"epoch": 9, "arch": "Q2L-R18-64", "state_dict": state, "best_mAP": 84.9}, tmp_path / "q.pkl")
    options = f"backbone=resnet18, width={width}, feedforward=96"
    model = unset(fv.create_model, f"query2label({options})", classes=5)
    assert fv.load_published(model, tmp_path / "q.pkl") == ()
    x = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(model.eval()(x), theirs(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["csra(backbone=resnet8)", "query2label(backbone=resnet8, width=16)"])
def test_every_weight_is_trained_and_the_attention_recorded(name):
    model = fv.create_model(name, classes=3, in_channels=2)
    x = torch.randn(4, 2, 33, 40)
    model.train()(x).square().sum().backward()
    assert all(p.grad is not None for p in model.parameters())
    with fv.record(model.eval()) as maps, torch.no_grad():
        assert model(x).shape == (4, 3)
    assert any(m.shape[2:] == (3, 9, 10) for m in maps.values())


@pytest.mark.slow
def test_numbers_of_parameters():
    with torch.device("meta"):
        for name, classes, total in (("csra", 20, 42_541_120), ("query2label", 80, 193_906_832)):
            model = fv.create_model(name, classes=classes)
            assert sum(p.numel() for p in model.parameters()) == total


def test_impossible_options_and_images_are_told():
    with pytest.raises(OptionError, match="embed"):
        fv.create_model("query2label(backbone=resnet8, width=16, embed=False)", classes=3)
    with pytest.raises(OptionError, match="heads"):
        fv.create_model("csra(backbone=resnet8, heads=3)", classes=3)
    with pytest.raises(OptionError, match="vit_tiny"):
        fv.create_model("csra(backbone=timm/vit_tiny_patch16_224, depths=3)", classes=3)
    with pytest.raises(ShapeError, match="in_channels"):
        fv.create_model("csra(backbone=resnet8)", classes=3)(torch.rand(1, 1, 33, 33))
