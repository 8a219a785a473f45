"""Stacked attention and Show-Ask-Attend-Answer as their authors' code computes them, in float64.

``originals/*.npz`` hold small networks with inputs, outputs and gradients under the originals' names.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from foveate.models import create_model, load_published

ORIGINALS = Path(__file__).with_name("originals")
EXACT = {"rtol": 0, "atol": 1e-9}
SMALL = {"classes": 5, "words": 15, "channels": 7, "embedding": 6, "attention": 9, "released": True}
FORMS = {
    "san_lstm": {"question": "lstm", "width": 8},
    "san_conv": {"question": "conv", "filters": (3, 4, 5)},
}
VQA = {"classes": 5, "words": 12, "channels": 10, "embedding": 6, "state": 8, "attention": 7, "hidden": 9}


def original(name):
    """Return what is stored of an original, by its group and name; floating point in float64."""
    found = {"w": {}, "in": {}, "out": {}, "grad": {}}
    with np.load(ORIGINALS / f"{name}.npz") as arrays:
        for entry in arrays.files:
            group, rest = entry.split("/", 1)
            value = torch.from_numpy(np.array(arrays[entry]))
            found[group][rest] = value.double() if value.is_floating_point() else value
    return found["w"], found["in"], found["out"], found["grad"]


def stacked(name, folder, **options):
    weights, given, expected, gradients = original(name)
    path = folder / "model.npz"
    np.savez(path, **{entry: value.numpy() for entry, value in weights.items()})
    model = create_model("stacked_attention", **{**SMALL, **FORMS[name], **options}).double().eval()
    assert load_published(model, path) == ()
    words = given["question"].long()
    if name == "san_lstm":  # there time comes first, and questions are reversed before they are filled up
        lengths = given["mask"].sum(dim=0).long()
        rows = [words[:n, item].flip(0) for item, n in enumerate(lengths.tolist())]
        words = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
    return model, given["image"], words, given, expected, gradients


@pytest.mark.parity("question.stacked_attention")
@pytest.mark.parametrize("name", FORMS)
def test_the_authors_stacked_attention(name, tmp_path):
    model, image, words, given, expected, gradients = stacked(name, tmp_path)
    question = model.question(words, (words != 0).sum(dim=1))
    torch.testing.assert_close(question, expected["question_vector"], **EXACT)
    found = model.answer(image, words)
    for hop in (1, 2):
        torch.testing.assert_close(found.weights[:, hop - 1], expected[f"attention_{hop}"], **EXACT)
    torch.testing.assert_close(found.logits.softmax(dim=1), expected["probabilities"], **EXACT)
    loss = F.cross_entropy(found.logits, given["label"])
    torch.testing.assert_close(loss, expected["cost"], **EXACT)
    loss.backward()
    named = model.from_published(gradients)
    assert named.keys() == dict(model.named_parameters()).keys()
    for entry, wanted in named.items():
        torch.testing.assert_close(model.get_parameter(entry).grad, wanted, **EXACT)


def test_padding_changes_the_released_windows_and_not_ours(tmp_path):
    released, image, words, *_ = stacked("san_conv", tmp_path)
    ours = stacked("san_conv", tmp_path, released=False)[0]
    with torch.no_grad():
        for model in (released, ours):
            for layer in model.question.windows:
                layer.bias.fill_(2.0)  # which padding alone then answers with
        far = F.pad(words, (0, 4))
        assert not torch.equal(released(image, far), released(image, words))
        assert torch.equal(ours(image, far), ours(image, words))


def vqa(folder):
    weights, *rest = original("pytorch_vqa")
    path = folder / "model.pth"
    torch.save({"name": "x", "weights": {f"module.{n}": w for n, w in weights.items()}}, path)
    model = create_model("show_ask_attend_answer", **VQA).double().eval()
    assert load_published(model, path) == ()
    return model, *rest


@pytest.mark.parity("question.show_ask_attend_answer")
def test_pytorch_vqa(tmp_path):
    model, given, expected, gradients = vqa(tmp_path)
    image = given["image"].flatten(2).transpose(1, 2)
    found = model.answer(image, given["question"], given["lengths"])
    torch.testing.assert_close(found.weights, expected["attention"], **EXACT)
    torch.testing.assert_close(found.logits, expected["logits"], **EXACT)
    loss = -(given["counts"] / 10 * found.logits.log_softmax(dim=1)).sum(dim=1).mean()
    torch.testing.assert_close(loss, expected["loss"], **EXACT)
    loss.backward()
    named = model.from_published(gradients)
    assert named.keys() == dict(model.named_parameters()).keys()
    for entry, wanted in named.items():
        torch.testing.assert_close(model.get_parameter(entry).grad, wanted, **EXACT)


@pytest.mark.parametrize(
    ("name", "options", "count"),
    [
        ("stacked_attention", {"classes": 1000}, 16_769_938),
        ("stacked_attention", {"classes": 1000, "question": "conv"}, 12_844_434),
        ("show_ask_attend_answer", {"classes": 3000}, 19_882_502),
    ],
)
def test_published_sizes(name, options, count):
    with torch.device("meta"):
        assert sum(p.numel() for p in create_model(name, **options).parameters()) == count
