import pytest
import torch
from torch import nn

from tests.authors_resnet import AuthorsResNet, InPlaceABN, corners, everywhere_in_place, loaded, shapes_fit
from tests.drawn import drawn, unset


class Context(nn.Module):
    def __init__(self, channels):
        super().__init__()
        width = channels // 2
        stage = nn.Module()
        stage.f_key = nn.Sequential(nn.Conv2d(channels, width, 1), InPlaceABN(width))
        stage.f_query = stage.f_key
        stage.f_value, stage.W = nn.Conv2d(channels, width, 1), nn.Conv2d(width, channels, 1)
        self.stages = nn.ModuleList([stage])
        self.conv_bn_dropout = nn.Sequential(
            nn.Conv2d(2 * channels, channels, 1), InPlaceABN(channels), nn.Dropout2d(0.05)
        )

    def forward(self, x):
        stage = self.stages[0]
        query, key, value = (f(x).flatten(2) for f in (stage.f_query, stage.f_key, stage.f_value))
        weights = (query.mT @ key / key.shape[1] ** 0.5).softmax(-1)
        context = (value @ weights.mT).unflatten(2, x.shape[2:])
        return self.conv_bn_dropout(torch.cat([stage.W(context), x], 1))


class Theirs(AuthorsResNet):
    """The authors' network, which returns the side head's scores and its own, at stride 8."""

    def __init__(self, depth, channels, classes):
        super().__init__(depth, stem="three", alike=True, ceil=True)
        width, before = channels // 4, channels // 2
        self.context = nn.Sequential(
            nn.Conv2d(channels, width, 3, padding=1), InPlaceABN(width), Context(width)
        )
        self.cls = nn.Conv2d(width, classes, 1)
        self.dsn = nn.Sequential(
            nn.Conv2d(before, before // 2, 3, padding=1),
            InPlaceABN(before // 2),
            nn.Dropout2d(0.05),
            nn.Conv2d(before // 2, classes, 1),
        )

    def forward(self, x):
        *_, third, last = self.maps(x)
        return self.dsn(third), self.cls(self.context(last))


@pytest.mark.slow
@pytest.mark.parity("segmentation.ocnet")
def test_a_checkpoint_of_the_authors_computes_what_it_did(tmp_path):
    theirs = drawn(everywhere_in_place(unset(Theirs, 18, 512, 5)))
    ours = loaded(theirs, "ocnet", tmp_path, classes=5, encoder="resnet18")
    x = torch.rand(2, 3, 65, 49)
    with torch.no_grad():
        aux, out = theirs(x)
        torch.testing.assert_close(ours(x), corners(out, x), rtol=1e-4, atol=1e-4)
        ours.training = True
        torch.testing.assert_close(ours(x)["aux"], corners(aux, x), rtol=1e-4, atol=1e-4)


def test_its_statistics_move_in_training_as_those_of_the_authors(tmp_path):
    theirs = drawn(everywhere_in_place(unset(Theirs, 18, 512, 5)))
    ours = loaded(theirs, "ocnet", tmp_path, classes=5, encoder="resnet18")
    for module in [*theirs.modules(), *ours.modules()]:
        if isinstance(module, nn.Dropout2d):
            module.p = 0.0
    stage, x = theirs.context[2].stages[0], torch.randn(3, 128, 5, 4)
    own = ours.head.attention.train()
    own(x)
    norm = nn.BatchNorm2d(own.width)
    norm.load_state_dict(stage.f_key[1].state_dict())
    for layer in (stage.f_query, stage.f_key):  # one layer under two names, called under both
        norm.train()(layer[0](x))
    torch.testing.assert_close(own.key[1].running_mean, norm.running_mean)
    torch.testing.assert_close(own.key[1].running_var, norm.running_var)


@pytest.mark.slow
def test_a_checkpoint_of_the_released_network_fits():
    assert shapes_fit(lambda: Theirs(101, 2048, 19), "ocnet", classes=19)
    assert shapes_fit(lambda: Theirs(101, 2048, 19), "ocnet", classes=19, side=False)


def test_parameters_of_the_head_by_the_header():
    with torch.device("meta"):
        theirs = Theirs(101, 2048, 19)
    head = sum(p.numel() for part in (theirs.context, theirs.cls) for p in part.parameters())
    width = 512
    assert head == (
        (9 * 2048 * width + 3 * width)
        + (3 * width * width // 2 + 3 * width)
        + (2 * width * width + 3 * width)
        + (19 * width + 19)
    )
