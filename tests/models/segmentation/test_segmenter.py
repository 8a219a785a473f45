import torch
from pytest import mark, raises
from torch import nn

import foveate as fv
from foveate.errors import ShapeError
from foveate.models.segmentation.segmenter import Segmenter, resized


class Small(Segmenter):
    aux = ("aux_a", "aux_b")

    def __init__(self):
        super().__init__(2, 5)
        self.conv = nn.Conv2d(5, 2, 3, stride=4, padding=1)

    def heads(self, x):
        y = self.conv(x)
        return {"out": y, "aux_b": -y, "aux_a": 2 * y} if self.training else {"out": y}


def test_logits_of_the_images_size_by_name_while_training_and_alone_otherwise():
    model, x = Small(), torch.rand(2, 5, 9, 7)
    logits = model.train()(x)
    assert list(logits) == ["out", "aux_a", "aux_b"]
    assert all(y.shape == (2, 2, 9, 7) for y in logits.values())
    torch.testing.assert_close(model.eval()(x), logits["out"])
    model.aux = ()
    assert torch.equal(model.train()(x), logits["out"])


def test_corners_stay_where_they_are_if_asked_to():
    x, like = torch.rand(1, 1, 2, 3), torch.rand(1, 1, 5, 9)
    corners = resized(x, like, align_corners=True)
    assert torch.equal(corners[..., ::4, ::4], x)
    assert not torch.equal(resized(x, like)[..., 1:2, 1:2], corners[..., 1:2, 1:2])
    assert resized(x, x) is x


def test_images_of_another_kind_are_refused():
    for x in (torch.rand(2, 3, 9, 7), torch.rand(5, 9, 7), torch.zeros(2, 5, 9, 7, dtype=torch.uint8)):
        with raises(ShapeError, match="in_channels"):
            Small()(x)


@mark.parametrize(
    "name, options, weights",
    [
        ("fcn", {}, {"aux": 0.5}),
        ("ccnet", {}, {"aux": 0.4}),
        ("psanet", {}, {"aux": 0.4}),
        ("ocnet", {}, {"aux": 0.4}),
        ("danet", {"side": True}, {"aux_position": 1, "aux_channel": 1, "aux": 0.4}),
        ("encnet", {}, {"presence": 0.2, "aux": 0.4}),
        ("bisenet", {}, {"aux_16": 1, "aux_8": 1}),
        ("attention_to_scale", {}, {"aux_1": 1, "aux_2": 1, "aux_3": 1}),
        ("u2netp", {}, {f"aux{side}": 1 for side in range(1, 7)}),
    ],
)
def test_what_an_auxiliary_loss_weighs_is_what_its_authors_let_it(name, options, weights):
    with torch.device("meta"):
        options = options if name == "u2netp" else {"encoder": "resnet18", **options}
        model = fv.create_model(name, classes=2, **options)
    assert {name: model.aux_weights.get(name, 1) for name in model.aux} == weights
