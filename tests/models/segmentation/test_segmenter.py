import torch
from pytest import raises
from torch import nn

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
