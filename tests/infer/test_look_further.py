"""``fv.look`` of what is not one map over a picture: glimpses, object queries, texts, single words."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

import foveate as fv
from foveate.errors import OptionError, ShapeError
from foveate.explain.record import record
from foveate.explain.targets import Word
from foveate.infer.found_objects import MOST
from foveate.infer.look_figures import Look
from foveate.models.classification.glimpse_sensor import windows
from tests.explain.toys import HF

PHOTOS = np.random.default_rng(0).integers(0, 256, (2, 32, 40, 3), dtype=np.uint8)


def test_glimpses_are_where_the_sensor_cut():
    """The sensor, given the recorded place and a picture marked there, sees all of the mark."""
    torch.manual_seed(0)
    model = fv.create_model(
        "recurrent_attention", classes=3, glimpses=4, glimpse_size=4, scales=2, hidden=16
    ).eval()
    with torch.no_grad():
        model.locator.mean.weight.mul_(40)  # so that it walks
    images = torch.rand(2, 3, 32, 40)
    found = fv.look(model, images)
    names = [name for name in found.drawings if "places" in name]
    assert names == ["picture1_places", "picture2_places"]
    with record(model) as maps, torch.no_grad():
        model(images)
    for number, seen in enumerate(found.pictures):
        (walk,) = seen.walks
        assert walk.sides == (4, 8) and walk.centres.shape == (4, 2)
        np.testing.assert_array_equal(walk.centres[0], [16, 20])  # it begins in the middle
        assert len(np.unique(walk.centres, axis=0)) > 1
        for step, (row, column) in enumerate(walk.centres):
            place = maps["places"][number : number + 1, step]
            marked = torch.zeros(1, 1, 32, 40)
            top, left = int(row) - 2, int(column) - 2
            marked[:, :, max(top, 0) : max(top + 4, 0), max(left, 0) : max(left + 4, 0)] = 1
            seen_there = windows(marked, place, size=4, scales=1, growth=2)
            assert seen_there.sum() == marked.sum() and (marked.sum() > 0 or not seen_there.any())


def test_a_detector_shows_each_query_with_its_box():
    import transformers

    torch.manual_seed(0)
    model, _ = HF["DETR"]()
    detector = transformers.DetrForObjectDetection(model.config).eval()
    images = torch.rand(1, 3, 96, 64)
    found = fv.look(detector, images, method="attention")
    seen = found.pictures[0]
    assert len(seen.objects) == MOST == sum("query" in name for name in found.drawings)
    with record(detector) as maps, torch.no_grad():
        outputs = detector(images)
    cross = next(call for call in reversed(maps.in_order) if call.geometry.queries.space == "slots"
                 and call.geometry.keys.space == "picture")  # fmt: skip
    shares = outputs.logits[0].softmax(-1)[:, :-1].max(-1).values
    assert [o.query for o in seen.objects] == shares.argsort(descending=True)[:MOST].tolist()
    for one in seen.objects:
        expected = cross.weights[0, :, one.query].mean(0).reshape(3, 2).numpy()
        np.testing.assert_allclose(one.values[16::32, 16::32], expected, atol=1e-6)
        x, y, w, h = outputs.pred_boxes[0, one.query].tolist()
        np.testing.assert_allclose(
            one.box, [64 * (x - w / 2), 96 * (y - h / 2), 64 * (x + w / 2), 96 * (y + h / 2)], rtol=1e-5
        )
    (alone,) = fv.look(detector, images, method="attention", query=3).pictures[0].objects
    assert alone.query == 3
    with pytest.raises(OptionError, match="got 9"):
        fv.look(detector, images, method="attention", query=9)


def test_a_model_without_object_queries_says_so():
    with pytest.raises(OptionError, match="object query"):
        fv.look(fv.create_model("resnet8", classes=3).eval(), PHOTOS[:1], query=1)


class Pieces:
    """A tokenizer whose pieces are words, numbered by their length."""

    def __call__(self, text: str, return_tensors: str) -> dict[str, torch.Tensor]:
        assert return_tensors == "pt"
        return {"input_ids": torch.tensor([[1, *(2 + len(word) for word in text.split()), 2]])}

    def convert_ids_to_tokens(self, ids: list[int]) -> list[str]:
        return [f"w{number}" for number in ids]


@pytest.mark.parametrize("name", ["BERT", "GPT-2", "Llama"])
def test_a_text_shows_what_each_piece_attends_to(name):
    torch.manual_seed(0)
    model, _ = HF[name]()
    model.eval()
    found = fv.look(model, ["a small cat sat", "it did"], tokenizer=Pieces())
    assert [*found.drawings] == ["words1", "words2", "words1_heads", "words2_heads"]
    assert list(found.readings[0].words) == ["w1", "w3", "w7", "w5", "w5", "w2"]
    with record(model) as maps, torch.no_grad():
        model(torch.tensor([[1, 3, 7, 5, 5, 2]]))
    last = maps.in_order[-1].weights[0]
    np.testing.assert_allclose(found.readings[0].weights, last.mean(0), atol=1e-6)
    assert len(found.layers[0]) == 2
    one = fv.look(model, "a small cat sat", tokenizer=Pieces(), head=1).readings[0]
    np.testing.assert_allclose(one.weights, last[1], atol=1e-6)


def test_texts_that_cannot_be_looked_at_are_named():
    bert, _ = HF["BERT"]()
    with pytest.raises(ShapeError, match="expected a text"):
        fv.look(bert, [""], tokenizer=Pieces())
    with pytest.raises(OptionError, match="convert_ids_to_tokens"):
        fv.look(bert, "a cat", tokenizer=len)
    with pytest.raises(OptionError, match=r"has 2, from 0"):
        fv.look(bert, "a cat", tokenizer=Pieces(), head=7)
    with pytest.raises(OptionError, match="method"):
        fv.look(bert, "a cat", tokenizer=Pieces(), method="grad_cam")
    with pytest.raises(OptionError, match="get_encoder"):
        fv.look(HF["T5"]()[0], "a cat", tokenizer=Pieces())
    with pytest.raises(OptionError, match="the model itself"):
        fv.look("bert", "a cat", tokenizer=Pieces())


def reading_model(words=("a", "dog")):
    """A model whose task answers every input with two words."""
    from foveate.tasks.judged import WordReading

    weights = np.array([[0.2, 0.3, 0.5], [0.1, 0.1, 0.8]])
    task = SimpleNamespace(
        name="translation",
        picture_form=lambda: None,
        reads=lambda model, inputs: [WordReading(str(inputs), words, weights, read=("ein", "Hund", "."))],
    )
    model = nn.Identity()
    model.__dict__["task"] = task
    return model


def test_one_word_of_an_answer_can_be_asked_for():
    model = reading_model()
    found = fv.look(model, "ein Hund .", target=Word(1))
    assert isinstance(found, Look) and list(found.readings[0].words) == ["dog"]
    np.testing.assert_array_equal(found.readings[0].weights, [[0.1, 0.1, 0.8]])
    with pytest.raises(OptionError, match="step 2"):
        fv.look(model, "ein Hund .", target=Word(2))
    with pytest.raises(OptionError, match="answers in words"):
        fv.look(model, "ein Hund .", target=3)
    with pytest.raises(OptionError, match="head"):
        fv.look(model, "ein Hund .", head=1)
