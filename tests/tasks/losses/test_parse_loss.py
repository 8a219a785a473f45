import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from foveate.errors import FoveateError, OptionError, SpecError, UnknownNameError
from foveate.tasks.losses import Dice, parse_loss
from tests.tasks.losses.test_losses import EVERY, example

weights = st.floats(min_value=0, exclude_min=True, allow_infinity=False)


@settings(max_examples=40)
@given(st.lists(st.tuples(weights, st.sampled_from(EVERY)), min_size=1, max_size=4))
def test_what_is_printed_reads_back(terms):
    loss = parse_loss(" + ".join(f"{w!r} * {name}".replace("e+", "e") for w, name in terms))
    assert parse_loss(str(loss)) == loss
    assert str(parse_loss(str(loss))) == str(loss)
    assert hash(parse_loss(str(loss))) == hash(loss)


@pytest.mark.parametrize(
    "written, printed",
    [
        (" ce ", "ce"),
        ("1*ce", "ce"),
        ("2.0*ce", "2*ce"),
        ("ce+0.50*dice( smooth = 1.0 , over= image)", "ce+0.5*dice(over=image)"),
        ("dice(smooth=1e-5)", "dice(smooth=1e-05)"),
        ("1e16*focal(gamma=3.0)", "1e16*focal(gamma=3)"),
        ("focal(alpha=None)", "focal"),
    ],
)
def test_it_prints_in_one_way(written, printed):
    assert str(parse_loss(written)) == printed
    assert parse_loss(parse_loss(written)) == parse_loss(written)


def test_a_sum_is_the_weighted_sum():
    logits, targets = example()
    parts = [parse_loss(name)(logits, targets, torch.arange(4.0)) for name in ("ce", "dice", "lovasz")]
    whole = parse_loss("0.5*ce+dice+3*lovasz")(logits, targets, torch.arange(4.0))
    torch.testing.assert_close(whole, 0.5 * parts[0] + parts[1] + 3 * parts[2])


def test_defaults_are_those_of_the_class():
    assert parse_loss("dice") == Dice()
    assert parse_loss("dice(smooth=2)") == Dice(smooth=2.0) != Dice()


@pytest.mark.parametrize(
    "text, error, said",
    [
        ("", SpecError, "expected names with weights, such as ce"),
        (None, SpecError, "got None as a loss"),
        ("ce+", SpecError, 'cannot read ""'),
        ("-1*ce", SpecError, 'the weight is "-1", expected a number above 0'),
        ("0*ce", SpecError, 'the weight is "0"'),
        ("nan*ce", SpecError, 'the weight is "nan"'),
        ("x*ce", SpecError, 'the weight is "x"'),
        ("ce*2", SpecError, 'the weight is "ce", expected a number above 0, as in 0.5'),
        ("dice(smooth=open('x'))", SpecError, "expected an option as key=value"),
        ("dice(smooth=1, smooth=2)", SpecError, "given twice"),
        ("dice(smooth=1", SpecError, r"a \) is missing"),
        ("ce+lovas", UnknownNameError, 'no loss is called "lovas". Nearest: lovasz'),
        (
            "dice(smoth=1)",
            OptionError,
            'dice has no option "smoth". Nearest: smooth. Its options: smooth, square',
        ),
    ],
)
def test_what_cannot_be_read_is_named(text, error, said):
    with pytest.raises(error, match=said) as caught:
        parse_loss(text)
    assert isinstance(caught.value, FoveateError)
