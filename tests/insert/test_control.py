"""A control costs what its mechanism costs, and weighs nothing."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pytest import param
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from foveate.errors import OptionError, UnknownNameError
from foveate.insert.build_mechanism import build_control
from foveate.insert.control import Control, control_spec, fitted
from foveate.insert.spec import Spec, Term, parse
from foveate.mechanisms.base import build, mechanisms
from tests.contracts.contract import FEW, each

INSERTED = [name for name, cls in mechanisms.items() if cls.interface in ("refine", "pool", "label", "gate")]
NEEDED = {"label": {"classes": 10}, "gate": {"gating": 48}}
BUILDS = [(n, {}) for n in INSERTED]
EACH = [param(n, {}, marks=() if n in FEW else pytest.mark.slow) for n in INSERTED]
# Every option with its other value, too: the control's own names must not get in their way.
VARIANTS = [(n, {o: v}) for n in INSERTED for o, v in mechanisms[n].variants.items()]


def full(name: str, options: dict[str, object]) -> dict[str, object]:
    return {**NEEDED.get(mechanisms[name].interface, {}), **options}


def made(name: str, size: tuple[int, ...] = (14, 14), options: dict[str, object] | None = None) -> Control:
    torch.manual_seed(0)
    return build_control(96, name, size, full(name, options or {}))


@pytest.mark.parametrize(
    ("name", "options"), EACH + [param(*v, marks=pytest.mark.nightly) for v in VARIANTS], ids=str
)
def test_the_cost_is_that_of_the_mechanism(name: str, options: dict[str, object]) -> None:
    """Counted by torch: parameters within 2 % or one hidden unit, MACs within 4 % or one position."""
    size = (3, 14, 14) if options.get("dimensions") == 3 else (14, 14)
    control, mechanism = made(name, size, options), build(name, 96, **full(name, options))
    parameters = sum(p.numel() for p in mechanism.parameters())
    ours = sum(p.numel() for p in control.parameters())
    assert abs(ours - parameters) <= max(0.02 * parameters, 2 * 96 + 1)
    assert control.gap.parameters == parameters - ours
    macs = mechanism.cost(*size).macs
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        control(torch.rand(1, 96, *size))
    counted = counter.get_total_flops() // 2
    assert control.cost(*size).macs == counted
    assert control.gap.macs == macs - counted
    if ours > 1:
        hidden = getattr(getattr(control.inert, "shape", None), "hidden", 0)
        assert abs(counted - macs) <= max(0.04 * macs, 2 * 96 * hidden)


def test_a_spec_of_a_control_has_all_options_of_the_mechanism() -> None:
    for name, options in BUILDS + VARIANTS:
        spec = control_spec(parse(str(Spec((Term(name, tuple(options.items()), site="pool"),)))))
        assert parse(str(spec)) == spec and dict(spec.terms[0].options) == {"like": name, **options}


@pytest.mark.parametrize("name", each([name for name in INSERTED if mechanisms[name].interface != "gate"]))
def test_it_returns_what_the_mechanism_would(name: str) -> None:
    """A gate is left out: it asks for a deeper map, which a control does not."""
    control, mechanism = made(name), build(name, 96, **full(name, {})).eval()
    for size in ((9, 20), (1, 1)):
        x = torch.rand(2, 96, *size)
        with torch.no_grad():
            assert control(x).shape == mechanism(x).shape


def test_what_is_added_weighs_nothing() -> None:
    """The second layer is linear in the first one's output: nothing multiplies what depends on the input."""
    control = made("se").double()
    torch.manual_seed(1)
    x = torch.rand(1, 96, 14, 14, dtype=torch.float64)
    added = control(x) - x
    hidden = control.inert.narrow(x.mean(dim=(2, 3), keepdim=True)).relu()
    expected = torch.einsum("oi,bi->bo", control.inert.widen.weight[:, :, 0, 0], hidden[:, :, 0, 0])
    expected = expected + (control.inert.widen.bias if control.inert.widen.bias is not None else 0)
    assert torch.allclose(added, expected[:, :, None, None].expand_as(x))


def test_a_mechanism_without_parameters_has_the_identity_as_its_control() -> None:
    control = made("eca")
    x = torch.rand(2, 96, 5, 5)
    assert control.does_nothing and torch.equal(control(x), x)
    assert control.gap.parameters == build("eca", 96).cost(1, 1).parameters
    assert "does nothing" in repr(control)


def test_its_gate_is_of_the_kind_of_the_mechanisms() -> None:
    assert made("dual").gate == "gamma"
    x = torch.rand(1, 96, 14, 14)
    assert torch.equal(made("dual")(x), x)
    assert made("se").gate is None
    assert not torch.equal(made("se")(x), x)


@given(
    st.integers(1, 200), st.integers(0, 50_000), st.integers(0, 10**8), st.integers(1, 40), st.integers(1, 40)
)
@settings(max_examples=60)
def test_any_cost_is_fitted(channels: int, parameters: int, macs: int, height: int, width: int) -> None:
    shape = fitted(channels, parameters, macs, height, width)
    used = 2 * channels * shape.hidden + shape.hidden * shape.bias_in + channels * shape.bias_out
    used *= shape.hidden > 0
    assert abs(used - parameters) <= 2 * channels + 1
    assert 1 <= shape.rows <= height and 1 <= shape.columns <= width and shape.repeats >= 1


def test_a_spec_of_controls() -> None:
    spec = control_spec(parse("se(reduction=8)@blocks+cbam@before:layer4+control(like=eca)@stem"))
    assert [str(term) for term in spec.terms] == [
        "control(like=se, reduction=8)@blocks",
        "control(like=cbam)@before:layer4",
        "control(like=eca)@stem",
    ]
    assert parse(str(spec)) == spec


def test_wrong_names_and_options_are_named() -> None:
    with pytest.raises(UnknownNameError, match="sq"):
        build_control(8, "sq", (2, 2), {})
    with pytest.raises(OptionError, match="reduction"):
        build_control(8, "se", (2, 2), {"redaction": 2})


def test_building_one_draws_no_more_numbers_than_its_own_weights() -> None:
    torch.manual_seed(4)
    control = build_control(16, "se", (4, 4), {})
    after = torch.rand(1)
    torch.manual_seed(4)
    narrow, widen = control.inert.narrow, control.inert.widen
    nn.Conv2d(16, narrow.out_channels, 1, bias=narrow.bias is not None)
    nn.Conv2d(narrow.out_channels, 16, 1, bias=widen.bias is not None)
    assert torch.equal(after, torch.rand(1))
