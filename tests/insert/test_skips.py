"""Attention at skip connections computes what is meant, however the network joins its maps."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

import foveate as fv
from foveate.errors import SiteError
from foveate.insert.inserted_parts import gate_parameters, openings
from foveate.insert.surgery import insert
from foveate.insert.survey import sites

IMAGE = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


class Joining(nn.Module):
    """A U-Net that joins its maps in a line of its own: cat, add, or late, the finer map convolved."""

    def __init__(self, how: str, width: int = 6) -> None:
        super().__init__()
        self.how = how
        self.down1, self.down2 = nn.Conv2d(3, width, 3, 1, 1), nn.Conv2d(width, 6, 3, 2, 1)
        self.side = nn.Conv2d(width, 4, 1)
        self.mix = nn.Conv2d({"cat": 6 + width, "add": 6, "late": 10}[how], 5, 3, padding=1)
        self.head = nn.Conv2d(5, 2, 1)

    def maps(self, x: Tensor) -> tuple[Tensor, Tensor]:
        fine = self.down1(x)
        return fine, self.down2(fine)

    def joined(self, fine: Tensor, deep: Tensor) -> Tensor:
        up = interpolate(deep, size=fine.shape[2:])
        if self.how == "add":
            return self.head(self.mix(up + fine))
        finer = self.side(fine) if self.how == "late" else fine
        return self.head(self.mix(torch.cat((up, finer), dim=1)))

    def forward(self, x: Tensor) -> Tensor:
        return self.joined(*self.maps(x))


def built(how: str, width: int = 6) -> Joining:
    torch.manual_seed(0)
    return Joining(how, width).eval()


@pytest.mark.parametrize("how", ["cat", "add", "late"])
def test_attention_weighs_what_the_decoder_gets_and_not_what_goes_on_in_the_encoder(how: str) -> None:
    model = built(how)
    paper = insert(model, "se@skip", example=IMAGE, start="paper")
    (attention,) = (m for m in paper.modules() if type(m).__name__ == "SqueezeExcitation")
    fine, deep = model.maps(IMAGE)
    torch.testing.assert_close(paper(IMAGE), model.joined(attention(fine), deep))


@pytest.mark.parametrize(
    ("how", "asked"),
    [
        ("cat", lambda deep: interpolate(deep, size=(32, 32))),
        ("add", lambda deep: deep),
        ("late", lambda d: d),
    ],
)
def test_a_gate_asks_the_deeper_map(how: str, asked: object) -> None:
    model = built(how)
    paper = insert(model, "attention_gate@skip", example=IMAGE, start="paper").eval()
    (gate,) = (m for m in paper.modules() if type(m).__name__ == "AttentionGate")
    fine, deep = model.maps(IMAGE)
    expected = model.joined(gate(fine, asked(deep)), deep)  # type: ignore[operator]
    torch.testing.assert_close(paper(IMAGE), expected)


def test_what_is_added_to_a_sum_is_of_the_map_that_is_in_it() -> None:
    """The map is sent on after all that stands behind the same module, whatever was inserted first."""
    model, found = built("add"), []
    for spec in ("eca@down1+se@skip", "se@skip+eca@down1"):
        torch.manual_seed(0)
        paper = insert(model, spec, example=IMAGE, start="paper")
        eca, se = (next(m for n, m in paper.named_modules() if n.endswith(f".{k}")) for k in ("eca", "se"))
        fine = eca(model.down1(IMAGE))
        torch.testing.assert_close(paper(IMAGE), model.joined(se(fine), model.down2(fine)))
        found.append(paper(IMAGE))
    assert torch.equal(*found)


def test_gates_at_the_skips_of_a_u_net_make_an_attention_u_net() -> None:
    """With the same weights the plain network with inserted gates is the published one with its own."""
    torch.manual_seed(0)
    widths = (4, 8, 16)
    theirs = fv.create_model("attention_unet", classes=2, kind="additive", widths=widths).eval()
    plain = fv.create_model("unet", classes=2, encoder=None, widths=widths).eval()
    weights = theirs.state_dict()
    plain.load_state_dict({name: weights[name] for name in plain.state_dict()})
    ours = insert(plain, "attention_gate(kind=additive)@skip", example=IMAGE, start="paper").eval()
    for number in range(2):
        ours.joins[number].foveate.attention_gate.load_state_dict(theirs.skips[number].state_dict())
    torch.testing.assert_close(ours(IMAGE), theirs(IMAGE))
    with fv.record(ours) as maps:
        ours(IMAGE)
    assert {tuple(m.shape) for m in maps.values()} == {(2, 1, 32, 32), (2, 1, 16, 16)}
    assert all(0 <= m.min() and m.max() <= 1 for m in maps.values())


def test_a_single_skip_has_a_name_of_its_own_the_finest_first() -> None:
    model = fv.create_model("unet", classes=2, encoder=None, widths=(4, 8, 16)).eval()
    assert list(openings(insert(model, "se@skip1", example=IMAGE))) == ["joins.0.foveate.se"]
    assert list(openings(insert(model, "se@skip2", example=IMAGE))) == ["joins.1.foveate.se"]


def test_a_gate_that_returns_the_deeper_maps_channels_fits_where_they_are_the_skips() -> None:
    insert(built("cat"), "global_upsample@skip", example=IMAGE)
    with pytest.raises(SiteError, match=r"returns the 6 channels of the deeper map, expected the 4 of mix"):
        insert(built("cat", width=4), "global_upsample@skip", example=IMAGE)


def test_a_control_stands_for_a_gate() -> None:
    model = built("cat")
    attended = insert(model, "control(like=attention_gate)@skip", example=IMAGE)
    assert torch.equal(attended(IMAGE), model(IMAGE))
    (control,) = (m for m in attended.modules() if type(m).__name__ == "Control")
    assert abs(control.gap.parameters) <= 0.1 * control.target.parameters


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # the tools' own warnings
@pytest.mark.parametrize(
    "how", ["cat", *(pytest.param(how, marks=pytest.mark.nightly) for how in ("add", "late"))]
)
def test_compile_and_export_take_it_however_maps_are_joined(how: str) -> None:
    model = insert(built(how), "se@skip+attention_gate@skip", example=IMAGE).eval()
    for gate in gate_parameters(model):
        nn.init.constant_(gate, 0.5)
    torch._dynamo.reset()
    with torch.no_grad():
        expected = model(IMAGE)
        compiled = torch.compile(model, backend="aot_eager", fullgraph=True)(IMAGE)
        exported = torch.export.export(model, (IMAGE,)).module()(IMAGE)
    torch.testing.assert_close(compiled, expected)
    torch.testing.assert_close(exported, expected)


class Unasked(Joining):
    """Its finer map is convolved before there is a deeper one."""

    def forward(self, x: Tensor) -> Tensor:
        fine = self.down1(x)
        finer = self.side(fine)
        up = interpolate(self.down2(fine), size=fine.shape[2:])
        return self.head(self.mix(torch.cat((up, finer), dim=1)))


ERRORS = [
    ("attention_gate@stage1", "only where the two meet: @skip.*It could sit at: before mix"),
    ("attention_gate@replace:skip", "attention_gate weighs a map by a deeper one"),
    ("feature_fusion@skip", "feature_fusion is a Fuse, which no spec can insert"),
    ("cbam_pool@skip", "cbam_pool turns a map into one vector"),
    ("attention_gate(gating=3)@skip", "does not run"),
    ("se@skip7", "Nearest: skip"),
]


@pytest.mark.parametrize(("spec", "text"), ERRORS)
def test_errors_say_what_would_do(spec: str, text: str) -> None:
    with pytest.raises(SiteError, match=text):
        insert(built("cat"), spec, example=IMAGE)


def test_a_model_without_skips_says_what_it_has() -> None:
    chain = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 2, 1))
    with pytest.raises(SiteError, match=r"No map of an encoder meets.*Aliases here: input, stem, stage1"):
        insert(chain, "se@skip", example=IMAGE)


def test_a_gate_is_refused_where_the_deeper_map_is_not_there_yet() -> None:
    torch.manual_seed(0)
    model = Unasked("late").eval()
    assert [site.gating for site in sites(model, IMAGE) if "skip" in site.aliases] == [0]
    insert(model, "se@skip", example=IMAGE)
    with pytest.raises(SiteError, match="@skip"):
        insert(model, "attention_gate@skip", example=IMAGE)


def test_a_classifier_has_no_skips() -> None:
    found = sites(fv.create_model("resnet8", classes=3).eval(), IMAGE)
    assert not any("skip" in site.aliases for site in found)
