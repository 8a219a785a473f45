"""Weights of the published networks give the published numbers: BigGAN-PyTorch's SAGAN, and heykeetae's."""

import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import foveate as fv
from foveate.models.generation.self_attention import self_attention
from foveate.tasks.losses.hinge import discriminator_hinge, generator_hinge

ORIGINALS = Path(__file__).parent / "originals"
SEED = 11  # of the tutorial's weights, which are drawn by a rule: see ``drawn``
CLOSE = {"rtol": 0, "atol": 1e-9}


def archive(name):
    """Return a fixture's entries by kind: w, in, out, grad."""
    kinds = {}
    with np.load(ORIGINALS / f"{name}.npz") as entries:
        for key in entries.files:
            kind, _, rest = key.partition("/")
            kinds.setdefault(kind, {})[rest] = torch.from_numpy(np.array(entries[key]))
    return kinds


def close(found, wanted):
    scale = max(1.0, float(wanted.abs().max()))  # gradients run into the hundreds
    torch.testing.assert_close(found.detach().double() / scale, wanted.double() / scale, **CLOSE)


def one_hot(classes, number):
    return torch.nn.functional.one_hot(classes, number).double()


def draw(words, shape):
    return np.random.RandomState(zlib.crc32(words.encode())).standard_normal(shape)


def drawn(names):
    """Return weights by the rule of the fixtures: unit normal from a hash of seed and name, scaled."""
    found = {}
    for name, shape in names.items():
        if name.endswith("num_batches_tracked"):
            continue
        value = draw(f"{SEED}:{name}", shape)
        if len(shape) >= 2:
            value = value / np.sqrt(np.prod(shape[1:]))
        elif len(shape) == 1:
            value = value * 0.1
        if name.endswith("running_var"):
            value = 0.5 + abs(value)
        if name.endswith(("_u", "_v")):
            value = value / np.linalg.norm(value)
        found[name] = torch.from_numpy(np.asarray(value)).float()
    return found


def released():
    """Return the small released network with its weights, read from files as the authors saved them."""
    model = fv.create_model("attention_gan", classes=3, size=32, channels=4, noise=6, at=16).double()
    return model, archive("sagan_released_generator"), archive("sagan_released_discriminator")


@pytest.fixture
def network(tmp_path):
    model, g, d = released()
    for part, stored in ((model.generator, g), (model.discriminator, d)):
        file = tmp_path / "weights.safetensors"
        save_file({name: value.contiguous() for name, value in stored["w"].items()}, file)
        fv.load_published(part, file)
    return model, g, d


@pytest.mark.parity("generation.residual_gan")
def test_the_released_network_in_evaluation(network):
    model, g, d = network
    model.eval()
    condition = one_hot(g["in"]["y"], 3)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with torch.no_grad():
        images = model(g["in"]["z"].double(), condition)
        close(images[..., ::3, ::3], g["out"]["eval_image"])
        close(model.judge(d["in"]["x"].double(), condition), d["out"]["eval_real"])
        close(model.judge(d["in"]["fake"].double(), condition), d["out"]["eval_fake"])
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_the_released_network_in_training_with_its_gradients_and_what_it_keeps(network):
    model, g, d = network
    model.train()
    condition = one_hot(g["in"]["y"], 3)
    fake = model(g["in"]["z"].double(), condition)
    close(fake[..., ::3, ::3], g["out"]["train_image"])
    real = model.judge(d["in"]["x"].double(), condition)
    close(real, d["out"]["train_real"])
    detached = model.judge(fake.detach(), condition)
    close(detached, d["out"]["train_fake_detached"])
    loss = discriminator_hinge(real, detached)
    close(loss, d["out"]["hinge_d"])
    state = model.discriminator.state_dict()
    for name, wanted in d["out"].items():
        if name.startswith("after/"):
            close(state[name.removeprefix("after/").replace(".u0", ".u")], wanted.flatten())
    loss.backward()
    generator_hinge(model.judge(fake, condition)).backward()
    parameters = dict(model.discriminator.named_parameters())
    for name, wanted in d["grad"].items():  # of both losses: nothing was set to zero between them
        close(parameters[name].grad, wanted)
    state, parameters = model.generator.state_dict(), dict(model.generator.named_parameters())
    names = {"stored_mean": "norm.running_mean", "stored_var": "norm.running_var"}
    for name, wanted in g["out"].items():
        if name.startswith("after/"):
            path, _, last = name.removeprefix("after/").rpartition(".")
            close(state[f"{path}.{names[last]}"], wanted)
    for name, wanted in g["grad"].items():
        close(parameters[name].grad, wanted)


@pytest.mark.parametrize(("kind", "name"), [("released", "released"), ("paper", "toy")])
def test_both_blocks_of_attention(kind, name):
    stored = archive(f"sagan_{name}_attention")
    block = self_attention(kind, 16, "released").double().eval()
    ours = {key.replace(".u0", ".u").replace("_conv.", "."): v for key, v in stored["w"].items()}
    ours = {key: v.flatten() if key.endswith(".u") else v for key, v in ours.items() if "sv0" not in key}
    block.load_state_dict(ours)
    with fv.record(block) as maps:
        out = block(stored["in"]["x"].double())
    close(out, stored["out"]["out"])
    if "attention" in stored["out"]:
        close(next(iter(maps.values())), stored["out"]["attention"])
    out = block(stored["in"]["x"].double())  # not recording: by the fused way
    close(out, stored["out"]["out"])
    out.square().sum().backward()
    parameters = dict(block.named_parameters())
    for key, wanted in stored["grad"].items():
        close(parameters[key.replace("_conv.", ".")].grad, wanted)


TUTORIAL_G = {
    **{
        f"l{n}.0.module.{part}": shape
        for n, (i, o) in enumerate([(128, 512), (512, 256), (256, 128), (128, 64)], 1)
        for part, shape in {
            "bias": (o,),
            "weight_bar": (i, o, 4, 4),
            "weight_u": (i,),
            "weight_v": (o * 16,),
        }.items()
    },
    **{
        f"l{n}.1.{part}": (width,)
        for n, width in enumerate((512, 256, 128, 64), 1)
        for part in ("weight", "bias", "running_mean", "running_var")
    },
    **{
        f"attn{n}.{part}": shape
        for n, c in ((1, 128), (2, 64))
        for part, shape in {
            "gamma": (1,),
            "query_conv.weight": (c // 8, c, 1, 1),
            "query_conv.bias": (c // 8,),
            "key_conv.weight": (c // 8, c, 1, 1),
            "key_conv.bias": (c // 8,),
            "value_conv.weight": (c, c, 1, 1),
            "value_conv.bias": (c,),
        }.items()
    },
    "last.0.weight": (64, 3, 4, 4),
    "last.0.bias": (3,),
}
TUTORIAL_D = {
    **{
        f"l{n}.0.module.{part}": shape
        for n, (i, o) in enumerate([(3, 64), (64, 128), (128, 256), (256, 512)], 1)
        for part, shape in {
            "bias": (o,),
            "weight_bar": (o, i, 4, 4),
            "weight_u": (o,),
            "weight_v": (i * 16,),
        }.items()
    },
    **{
        f"attn{n}.{part}": shape
        for n, c in ((1, 256), (2, 512))
        for part, shape in {
            "gamma": (1,),
            "query_conv.weight": (c // 8, c, 1, 1),
            "query_conv.bias": (c // 8,),
            "key_conv.weight": (c // 8, c, 1, 1),
            "key_conv.bias": (c // 8,),
            "value_conv.weight": (c, c, 1, 1),
            "value_conv.bias": (c,),
        }.items()
    },
    "last.0.weight": (1, 512, 4, 4),
    "last.0.bias": (1,),
}


@pytest.fixture
def tutorial(tmp_path):
    """The tutorial's network: its weights are in no file, but follow from the rule of ``drawn``."""
    model = fv.create_model("attention_gan", classes=0, size=64, form="transposed")
    for part, names in ((model.generator, TUTORIAL_G), (model.discriminator, TUTORIAL_D)):
        torch.save(drawn(names), tmp_path / "part.pth")
        fv.load_published(part, tmp_path / "part.pth")
        trained = sum(p.numel() for p in part.parameters())
        assert trained + sum(b.numel() for n, b in part.named_buffers() if n.endswith((".u", ".v"))) == sum(
            int(np.prod(shape)) for name, shape in names.items() if "running" not in name
        )
    return model.double().eval()


@pytest.mark.parity("generation.transposed_gan")
def test_the_tutorials_generator_and_discriminator(tutorial):
    g, d = archive("sagan_toy_generator")["out"], archive("sagan_toy_discriminator")["out"]
    noise = archive("sagan_toy_generator")["in"]["z"].double()
    shown = torch.from_numpy(draw(f"{SEED}:in:image", (2, 3, 64, 64))).float().double()
    with torch.no_grad(), fv.record(tutorial) as maps:
        image, logits = tutorial(noise), tutorial.judge(shown)
    close(logits.flatten(), d["logits"])
    close(image[..., ::7, ::7], g["image_part"])
    close(image.mean(), g["image_mean"])
    close(image.square().mean(), g["image_square"])
    close(maps["generator.attn1"][:, 5], g["map1_row"])
    close(maps["generator.attn2"][:, 100, ::31], g["map2_part"])
    close(maps["discriminator.attn1"][:, 5], d["map1_row"])
    close(maps["discriminator.attn2"][:, :, :4], d["map2"])
    with torch.no_grad():
        moved = tutorial.judge(shown)  # this spectral norm takes a step in every pass, in evaluation too
    assert not torch.equal(moved, logits)
