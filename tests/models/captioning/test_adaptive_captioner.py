import pytest
import torch
from torch.nn import functional as F

from foveate.errors import OptionError, ShapeError
from foveate.explain.record import record
from foveate.models import create_model, model_normalisation
from foveate.models.decoders.word_model import NO_WORD
from tests.models.captioning.parity import loaded, original

SMALL = {"classes": 16, "channels": 14, "width": 12, "start": 0, "end": 0}


def small(**options):
    torch.manual_seed(0)
    return create_model("adaptive_captioner", **{**SMALL, **options}).double().eval()


@pytest.fixture(params=["published.pth", "published.safetensors"])
def ours(request, tmp_path):
    weights, *rest = original("adaatt")
    model = create_model("adaptive_captioner", overall=10, **SMALL)
    return loaded(model, weights, tmp_path, request.param), *rest


@pytest.mark.parity("captioning.adaptive_captioner")
@pytest.mark.parametrize("masked", [False, True])
def test_it_computes_what_the_original_does(ours, masked):
    model, given, expected, _ = ours
    memory = model.encode(given["att"], given["fc"])
    if masked:
        memory = memory._replace(mask=given["mask"].bool())
    with torch.no_grad():
        found = model.decode(memory, given["seq"][:, :-1]).logits.log_softmax(dim=2)
    # Behind the last word of the longest caption theirs are zeros.
    wanted = expected["logprobs_masked" if masked else "logprobs"][:, :-1]
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-9)


@pytest.mark.parity("captioning.adaptive_captioner")
def test_its_gradients_are_the_originals(ours):
    model, given, _, gradients = ours
    decoded = model(given["att"], given["fc"], given["seq"][:, :-1])
    (-(decoded.logits.log_softmax(dim=2) * given["pick"][:, :-1])).sum().backward()
    named = model.from_published(gradients)
    assert len(named) == 18
    for name, wanted in named.items():
        torch.testing.assert_close(model.get_parameter(name).grad, wanted, rtol=1e-9, atol=1e-9)


def test_it_finds_the_originals_words(ours):
    model, given, expected, _ = ours
    memory = model.encode(given["att"], given["fc"])
    words, state, found = torch.zeros(3, dtype=torch.int64), model.start(memory), []
    going = torch.ones(3, dtype=torch.bool)
    for _ in range(6):
        step = model.step(memory, state, words)
        words, state = step.logits.argmax(dim=1) * going, step.state
        going &= words != 0
        found.append(words)
    assert torch.equal(torch.stack(found, dim=1), expected["greedy"])


def test_published_sizes():
    for kind, squares, linear in (("released", 21, 24), ("paper", 18, 21)):
        for words, channels, width in ((9488, 2048, 512), (30, 20, 8)):
            with torch.device("meta"):
                model = create_model(
                    "adaptive_captioner", classes=words, channels=channels, width=width, kind=kind
                )
            count = sum(parameter.numel() for parameter in model.parameters())
            expected = squares * width**2 + width * (2 * words + 2 * channels + linear) + words + 1
            assert count == expected
            assert (count == 17_339_665) == (kind == "released" and width == 512)


def test_the_sentinel_is_one_more_place():
    model = small(kind="paper")
    features, words = torch.rand(2, 9, 14).double(), torch.randint(16, (2, 4))
    memory = model.encode(features)
    joint = model.decode(memory, words).weights
    torch.testing.assert_close(joint.sum(dim=2), torch.ones(2, 4).double())
    # Without the sentinel the weights over the places are the same, but for a factor.
    beta = joint[:, :, -1:]
    alone = joint[:, :, :-1] / (1 - beta)
    hidden, sentinels, _ = model.cell(
        F.relu(model.embedding(words)), memory.extra["overall"], model.start(memory)
    )
    attention = model.attention
    asked = attention.state_key(hidden)
    scores = attention.energy((memory.extra["keys"][:, None] + asked[:, :, None]).tanh()).squeeze(3)
    torch.testing.assert_close(alone, scores.softmax(dim=2))
    context = beta * sentinels + (1 - beta) * (alone @ memory.entries)
    torch.testing.assert_close(model.decode(memory, words).logits, model.logits(context + hidden))


def test_looking_away_makes_the_places_count_for_nothing():
    model = small()
    with torch.no_grad():
        model.attention.sentinel_key.bias.fill_(50.0)
        model.attention.energy.weight.fill_(100.0)
        model.attention.region_key.bias.fill_(-50.0)
    memory = model.encode(torch.rand(1, 9, 14).double())
    words = torch.randint(16, (1, 4))
    decoded = model.decode(memory, words)
    torch.testing.assert_close(decoded.weights[:, :, -1], torch.ones(1, 4).double())
    changed = model.decode(memory._replace(entries=memory.entries + 1), words)
    torch.testing.assert_close(changed.logits, decoded.logits)
    nothing = memory._replace(mask=torch.zeros(1, 9, dtype=torch.bool))
    assert model.decode(nothing, words).weights[:, :, -1].eq(1).all()


def test_words_one_by_one_are_words_at_once():
    for start in (None, 2):
        model = small(start=start, end=3)
        memory = model.encode(torch.rand(3, 5, 14).double())
        words = model.shifted(torch.randint(1, 16, (3, 6)))
        assert (words[:, 0] == (NO_WORD if start is None else 2)).all()
        decoded, state = model.decode(memory, words), model.start(memory)
        for place, column in enumerate(words.unbind(1)):
            step = model.step(memory, state, column)
            state = step.state
            torch.testing.assert_close(step.logits, decoded.logits[:, place])
            torch.testing.assert_close(step.weights, decoded.weights[:, place])


def test_an_end_that_is_written_like_padding_is_learnt():
    model = small()
    targets = torch.tensor([[5, 6, 0, 0], [7, 8, 9, 0]])
    decoded = model(torch.rand(2, 9, 14).double(), model.shifted(targets))
    likely = decoded.logits.log_softmax(dim=2).gather(2, targets.unsqueeze(2)).squeeze(2)
    torch.testing.assert_close(model.loss(decoded, targets), -(likely.sum() - likely[0, 3]) / 7)


def test_pictures_come_in_where_there_is_an_encoder():
    model = small(encoder="resnet18", trainable="layer4", places=3).float()
    assert (model.encoder.channels, model_normalisation(model)[0][0]) == (512, 0.485)
    words = torch.randint(1, 16, (2, 4))
    decoded = model.train()(torch.rand(2, 3, 64, 64), words)
    assert decoded.weights.shape == (2, 4, 10)
    before = {n: v.clone() for n, v in model.encoder.state_dict().items() if "layer4" not in n}
    model.loss(decoded, words).backward()
    learns = {name for name, p in model.named_parameters() if p.grad is not None and "encoder" in name}
    assert learns == {n for n, _ in model.named_parameters() if "encoder.last_map.network.layer4" in n}
    assert all(torch.equal(model.encoder.state_dict()[name], value) for name, value in before.items())


def test_its_weights_are_recorded():
    model = small()
    with record(model) as maps:
        decoded = model(torch.rand(2, 9, 14).double(), torch.randint(16, (2, 4)))
    assert torch.equal(maps["attention.map"], decoded.weights.detach())


def test_what_does_not_fit_is_told():
    with pytest.raises(OptionError, match="encoder="):
        small(trainable="all")
    with pytest.raises(OptionError, match="kind"):
        small(kind="new")
    with pytest.raises(OptionError, match="end: got 16"):
        small(end=16)
    model = small()
    with pytest.raises(ShapeError, match=r"features \(B, N, 14\)"):
        model.encode(torch.rand(1, 9, 13).double())
    with pytest.raises(ShapeError, match="pictures"):
        small(encoder="resnet18").float().encode(torch.rand(1, 9, 14))
