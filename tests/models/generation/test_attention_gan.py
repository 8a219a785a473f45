"""Laws of the attention GAN: what its parts compute, keep, record, export and refuse."""

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

import foveate as fv
from foveate.models.generation.attention_gan import AttentionGAN
from foveate.models.generation.conditional_norm import ConditionalNorm
from foveate.models.generation.self_attention import self_attention
from foveate.models.generation.spectral_norm import (
    RULES,
    SpectralConv2d,
    SpectralConvTranspose2d,
    SpectralLinear,
    SpectralTable,
    still,
)


def small(**options):
    torch.manual_seed(0)
    return AttentionGAN(**{"classes": 3, "pose": 2, "size": 16, "channels": 4, "noise": 8, **options})


def goals(items=4):
    torch.manual_seed(1)
    classes = nn.functional.one_hot(torch.arange(items) % 3, 3).float()
    angles = torch.rand(items) * 3
    return torch.cat([classes, angles.sin()[:, None], angles.cos()[:, None]], dim=1)


def count(module):
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(
    ("options", "generator", "discriminator"),
    [
        ({"classes": 1000, "size": 128, "at": 64}, 42_017_412, 39_448_258),
        ({"classes": 10, "size": 32, "at": 16}, 4_386_308, 4_535_045),
        ({"classes": 10, "size": 32, "at": 16, "channels": 16}, 380_804, 285_893),
        ({"form": "transposed", "size": 64}, 3_832_885, 3_175_299),
    ],
)
def test_it_has_as_many_parameters_as_the_published_networks(options, generator, discriminator):
    with torch.device("meta"):
        model = AttentionGAN(**options)
    assert (count(model.generator), count(model.discriminator)) == (generator, discriminator)


@pytest.mark.parametrize("size", [8, 16, 32, 64])
def test_pictures_have_the_size_that_was_asked_for(size):
    model = small(size=size, channels=1)
    images = model(torch.randn(2, 8), goals(2))
    assert images.shape == (2, 3, size, size)
    assert images.abs().max() <= 1
    assert model.judge(images, goals(2)).shape == (2, 1)


def layers(rule):
    torch.manual_seed(3)
    return {
        SpectralLinear(5, 7, rule=rule): torch.randn(2, 5),
        SpectralConv2d(3, 4, 3, rule=rule, padding=1): torch.randn(2, 3, 5, 4),
        SpectralConvTranspose2d(3, 4, 4, rule=rule, stride=2, padding=1): torch.randn(2, 3, 5, 4),
        SpectralTable(6, 5, rule=rule): torch.eye(6)[:2],
    }


def matrix(layer):
    return layer.weight.detach().flatten(1)


@pytest.mark.parametrize("rule", RULES)
def test_weights_are_divided_by_their_largest_singular_value(rule):
    for layer, x in layers(rule).items():
        for _ in range(60):
            layer(x)
        found = torch.linalg.svdvals(layer.normal_weight().detach().flatten(1))[0]
        assert 0.95 < float(found) < 1.05


@pytest.mark.parametrize("rule", RULES)
def test_what_a_pass_keeps_follows_the_rule(rule):
    moves = {  # in training, in training inside still, in evaluation
        "released": (True, False, False),
        "authors": (True, False, False),
        "toy": (True, True, True),
        "torch": (True, True, False),
    }
    for layer, x in layers(rule).items():
        if isinstance(layer, SpectralTable):
            continue
        moved = []
        for training, held in ((True, False), (True, True), (False, False)):
            layer.train(training)
            before = layer.u.clone()
            if held:
                with still(layer):
                    layer(x)
            else:
                layer(x)
            moved.append(not torch.equal(before, layer.u))
        assert tuple(moved) == moves[rule]


def test_the_rule_of_torch_is_torchs():
    torch.manual_seed(0)
    ours = SpectralConv2d(3, 4, 3, rule="torch")
    plain = nn.Conv2d(3, 4, 3)
    plain.load_state_dict({"weight": ours.weight, "bias": ours.bias})
    theirs = spectral_norm(plain)
    inner = theirs.parametrizations.weight[0]
    inner._u, inner._v = ours.u.clone(), ours.v.clone()
    x = torch.randn(2, 3, 6, 6)
    for training in (True, True, False, True):
        ours.train(training)
        theirs.train(training)
        torch.testing.assert_close(ours(x), theirs(x))
    (gradient,) = torch.autograd.grad(ours(x).square().sum(), ours.weight)
    (wanted,) = torch.autograd.grad(theirs(x).square().sum(), theirs.parametrizations.weight.original)
    torch.testing.assert_close(gradient, wanted)


def test_a_kernel_with_its_channels_last_has_the_same_sigma():
    torch.manual_seed(0)
    layer = SpectralConv2d(6, 5, 3, rule="released")
    wanted = layer.normal_weight().detach().clone()
    layer = SpectralConv2d(6, 5, 3, rule="released").requires_grad_(False)
    torch.manual_seed(0)
    again = SpectralConv2d(6, 5, 3, rule="released").to(memory_format=torch.channels_last)
    torch.testing.assert_close(again.normal_weight(), wanted)
    assert not again.weight.is_contiguous()


def test_by_the_authors_rule_the_power_iteration_follows_real_pictures_alone():
    model, alone = small(spectral="authors"), small(spectral="authors")
    real, fake = torch.randn(4, 3, 16, 16), torch.randn(4, 3, 16, 16)
    both = model.judge_both(real, fake, goals())
    wanted = alone.judge(real, goals())
    torch.testing.assert_close(both[0], wanted)
    for one, other in zip(model.discriminator.buffers(), alone.discriminator.buffers(), strict=True):
        assert torch.equal(one, other)


def test_real_and_drawn_pictures_are_judged_alike_in_one_pass():
    model = small().eval()
    real, fake = torch.randn(4, 3, 16, 16), torch.randn(4, 3, 16, 16)
    first, second = model.judge_both(real, fake, goals())
    torch.testing.assert_close(first, model.judge(real, goals()))
    torch.testing.assert_close(second, model.judge(fake, goals()))


@pytest.mark.parametrize("rule", ["released", "authors"])
def test_mismatched_pictures_are_judged_as_one_by_one(rule):
    torch.manual_seed(2)
    real, fake, other = torch.randn(4, 3, 16, 16), torch.randn(4, 3, 16, 16), goals().roll(1, dims=0)
    model = small(spectral=rule).eval()
    scores = model.judge_mismatched(real, fake, goals(), other)
    wanted = (model.judge(real, goals()), model.judge(fake, goals()), model.judge(real, other))
    torch.testing.assert_close(scores, wanted)
    one, two = small(spectral=rule).train(), small(spectral=rule).train()
    one.judge_mismatched(real, fake, goals(), other)
    two.judge_both(real, fake, goals())
    for each, same in zip(one.discriminator.buffers(), two.discriminator.buffers(), strict=True):
        torch.testing.assert_close(each, same)  # no further step of the power iteration


def spoken(items=4):
    torch.manual_seed(4)
    numbers = torch.tensor([[4, 5, 6, 3, 0], [4, 6, 3, 0, 0], [7, 3, 0, 0, 0], [4, 5, 7, 5, 3]])[:items]
    return torch.cat([goals(items), numbers.float()], dim=1)


def test_a_sentence_steers_both_and_what_fills_it_up_does_not():
    model = small(words=9, longest=5).eval()
    noise, images = torch.randn(4, 8), torch.randn(4, 3, 16, 16)
    for layer in model.modules():  # a pose, or a sentence, has no say at the start
        if getattr(layer, "posed", False):
            nn.init.normal_(layer.pose_gain.weight)
    other = spoken()
    other[:, 6] = 8
    with torch.no_grad():
        drawn, scores = model(noise, spoken()), model.judge(images, spoken())
        assert (model(noise, other) - drawn).abs().amax(dim=(1, 2, 3)).min() > 1e-4
        assert (model.judge(images, other) - scores).abs().min() > 1e-6
        for n in range(4):  # alone, without the others' longer sentences
            torch.testing.assert_close(model(noise[n : n + 1], spoken()[n : n + 1]), drawn[n : n + 1])
    exported = torch.export.export(model.generator, (noise, spoken()))
    torch.testing.assert_close(exported.module()(noise, spoken()), drawn)


def test_the_network_that_reads_learns_on_both_sides():
    model = small(words=9, longest=5)
    for layer in model.modules():
        if getattr(layer, "posed", False):
            nn.init.normal_(layer.pose_gain.weight)
    model.judge(model(torch.randn(4, 8), spoken()), spoken()).square().sum().backward()
    for part in (model.generator, model.discriminator):
        assert all(p.grad.abs().sum() > 0 for p in part.condition.sentence.parameters())


def test_the_norm_without_a_say_is_plain_batch_norm():
    torch.manual_seed(0)
    x, condition = torch.randn(4, 6, 5, 5), torch.eye(6)[[0, 1, 2, 0]]
    for options, given in (({"classes": 3}, 3), ({"width": 6}, 6), ({"classes": 3, "width": 3}, 6), ({}, 0)):
        norm = ConditionalNorm(6, **options)
        if "classes" in options:
            nn.init.zeros_(norm.gain.weight)
            nn.init.zeros_(norm.bias.weight)
        plain = nn.BatchNorm2d(6, affine=False)
        torch.testing.assert_close(norm(x, condition[:, :given] if given else None), plain(x))
        torch.testing.assert_close(norm.norm.running_var, plain.running_var)


def test_class_and_pose_steer_the_norm_together():
    torch.manual_seed(0)
    norm, x, condition = ConditionalNorm(6, classes=3, width=4), torch.randn(2, 6, 5, 5), torch.rand(2, 7)
    for layer in (norm.pose_gain, norm.pose_bias):
        nn.init.normal_(layer.weight)
    labels, pose = condition[:, :3], condition[:, 3:]
    gain = 1 + labels @ norm.gain.weight + pose @ norm.pose_gain.weight.t()
    shift = labels @ norm.bias.weight + pose @ norm.pose_bias.weight.t()
    wanted = nn.BatchNorm2d(6, affine=False)(x) * gain[:, :, None, None] + shift[:, :, None, None]
    torch.testing.assert_close(norm(x, condition), wanted)


def test_the_score_of_another_class_differs_by_the_projection():
    model = small(pose=0).eval()
    images, one, other = torch.randn(2, 3, 16, 16), torch.eye(3)[[0, 0]], torch.eye(3)[[2, 2]]
    seen = []
    model.discriminator.linear.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    difference = model.judge(images, one) - model.judge(images, other)
    rows = model.discriminator.embed.normal_weight()
    torch.testing.assert_close(difference, (seen[0] @ (rows[0] - rows[2]))[:, None])


@pytest.mark.parametrize("kind", ["released", "paper"])
def test_attention_starts_as_the_identity_and_is_recorded(kind):
    block = self_attention(kind, 16, "released")
    x = torch.randn(2, 16, 6, 4)
    assert torch.equal(block(x), x)
    model = small(attention=kind)
    with fv.record(model) as maps:
        model.judge(model(torch.randn(2, 8), goals(2)), goals(2))
    keys = 64 if kind == "paper" else 16
    paths = {"generator.blocks.0.1", "discriminator.blocks.0.1"}
    assert {name.removesuffix(".map") for name in maps} == paths
    for weights in maps.values():
        assert weights.shape == (2, 64, keys)
        torch.testing.assert_close(weights.sum(-1), torch.ones(2, 64))


def test_every_option_changes_the_network():
    plain = small()
    for option in (
        {"attention": "none"},
        {"attention": "paper"},
        {"at": 16},
        {"channels": 5},
        {"colours": 1},
    ):
        other = small(**option)
        assert {n: p.shape for n, p in other.named_parameters()} != {
            n: p.shape for n, p in plain.named_parameters()
        }


def test_every_parameter_learns():
    model = small()
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():  # gates and poses start at 0
            parameter.add_(0.1 * torch.randn_like(parameter))
    fake = model(torch.randn(4, 8), goals())
    real, drawn = model.judge_both(torch.randn(4, 3, 16, 16), fake, goals())
    (real.square().mean() + drawn.square().mean()).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum()] == []


def test_no_picture_depends_on_the_others_in_evaluation():
    model = small().eval()
    noise, wanted = torch.randn(4, 8), goals()
    together = model(noise, wanted)
    alone = torch.cat([model(noise[n : n + 1], wanted[n : n + 1]) for n in range(4)])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)
    scores = model.judge(together, wanted)
    torch.testing.assert_close(scores[2:3], model.judge(together[2:3], wanted[2:3]), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("attention", ["released", "paper"])
def test_half_precision(attention):
    model = small(attention=attention).eval()
    noise, wanted = torch.randn(2, 8), goals(2)
    exact = model(noise, wanted)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        images = model(noise, wanted)
        scores = model.judge(images, wanted)
    assert scores.isfinite().all()
    torch.testing.assert_close(images.float(), exact, rtol=0.05, atol=0.05)
    half = model.bfloat16()
    images = half(noise.bfloat16(), wanted.bfloat16())
    assert images.dtype == torch.bfloat16
    torch.testing.assert_close(images.float(), exact, rtol=0.1, atol=0.1)


def test_copies_draw_the_same():
    model = small().eval()
    noise, wanted = torch.randn(2, 8), goals(2)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(other(noise, wanted), model(noise, wanted))


@pytest.mark.slow
@pytest.mark.parametrize(
    "options", [{}, {"attention": "paper"}, {"form": "transposed", "classes": 0, "pose": 0, "size": 64}]
)
def test_the_generator_is_exported(options):
    model = small(**options, channels=4).eval()
    noise = torch.randn(3, 8)
    given = (noise, goals(3)) if model.goal.length else (noise,)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    items = torch.export.Dim("items", min=2)
    shapes = ({0: items},) * len(given)
    exported = torch.export.export(model.generator, given, dynamic_shapes=shapes)
    model.load_state_dict(state)
    found = exported.module()(*given)
    model.load_state_dict(state)  # by the rule "toy" every pass moves u
    torch.testing.assert_close(found, model(*given), rtol=1e-4, atol=1e-5)


def test_what_cannot_be_built_or_asked_for_is_said():
    with pytest.raises(fv.FoveateError, match=r"size: got 20, expected one of 8, 16, 32"):
        small(size=20)
    with pytest.raises(
        fv.FoveateError, match=r"at: got 32, expected the side of a map of the generator: 8, 16"
    ):
        small(at=32)
    with pytest.raises(fv.FoveateError, match="draws 64 px without a goal"):
        small(form="transposed")
    with pytest.raises(fv.FoveateError, match="spectral"):
        small(spectral="no")
    with pytest.raises(fv.FoveateError, match="attention"):
        small(attention="se")
    model = small()
    with pytest.raises(fv.FoveateError, match=r"noise: got \(2, 9\), expected \(B, 8\)"):
        model(torch.randn(2, 9), goals(2))
    with pytest.raises(fv.FoveateError, match=r"condition: got \(3, 5\), expected \(2, 5\)"):
        model(torch.randn(2, 8), goals(3))
    with pytest.raises(fv.FoveateError, match="condition: got None"):
        model(torch.randn(2, 8))
    with pytest.raises(fv.FoveateError, match="draws without"):
        small(classes=0, pose=0)(torch.randn(2, 8), goals(2))


def test_published_weights_of_another_network_are_refused(tmp_path):
    torch.save({"blocks.0.0.conv1.weight": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(fv.FoveateError, match="does not fit"):
        fv.load_published(small().generator, tmp_path / "other.pth")
