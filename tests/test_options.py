"""Values of options against the annotations of what takes them: nothing is taken for another thing."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired, TypedDict, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foveate import spelling as built
from foveate.calls import parse_call, printed
from foveate.data.coco import open_coco as coco
from foveate.data.datasets import open_dataset as dataset
from foveate.data.folders import open_folder as folder
from foveate.data.masks import open_mask_folder as mask_folder
from foveate.data.scenes import open_scenes as scenes
from foveate.data.scenes import scene_layout
from foveate.data.tables import open_manifest as manifest
from foveate.errors import FoveateError, OptionError, SpecError
from foveate.insert.spec import parse
from foveate.mechanisms import mechanisms
from foveate.mechanisms.base import build, options_of
from foveate.models.names import models
from foveate.options import checked
from foveate.recipe import TrainConfig
from foveate.tasks.losses import losses
from foveate.tasks.metrics import metrics
from foveate.typed import Misfit, Range, expected, fitted, hints

NEEDED: dict[str, dict[str, object]] = {"label": {"classes": 3}, "gate": {"gating": 8}}
numbers = st.integers(-(2**70), 2**70) | st.floats() | st.booleans()
plain = st.none() | numbers | st.text(max_size=8) | st.sampled_from(["true", "False", "none", "1"])
odd = plain | st.lists(plain, max_size=3) | st.tuples(plain, plain) | st.binary(max_size=3)
odd = odd | st.dictionaries(st.text(max_size=3), plain, max_size=2) | st.builds(object) | st.just(int)


def _is(value: object, kind: Any) -> bool:
    """An independent reading of the annotations that mechanisms, losses and metrics have."""
    text = str(kind).replace("<class '", "").replace("'>", "")
    if isinstance(value, bool):
        return "bool" in text
    if isinstance(value, int):
        words = [word for part in (kind, *get_args(kind)) for word in get_args(part)]
        return "int" in text or "float" in text or value in words
    if isinstance(value, float):
        return "float" in text and np.isfinite(value)
    if isinstance(value, str):
        return "str" in text or f"'{value}'" in text
    if value is None:
        return "None" in text or "Optional" in text
    return "Sequence" in text or "tuple" in text


def _answers(owner: str, make: Callable[..., object], option: str, kind: Any, value: object) -> None:
    try:
        make(**{option: value})
    except OptionError as error:
        assert option in str(error) or _is(value, kind), str(error)
    except FoveateError:
        pass
    else:
        assert _is(value, kind), f"{owner}({option}={value!r}) was taken"


MECHANISM_OPTIONS = [(name, option) for name in mechanisms for option in options_of(mechanisms[name])]


@settings(max_examples=120, deadline=None)
@given(st.sampled_from(MECHANISM_OPTIONS), odd.filter(lambda v: not isinstance(v, int) or abs(v) < 500))
def test_a_mechanism_takes_no_value_of_another_type(which: tuple[str, str], value: object) -> None:
    name, option = which
    needed = NEEDED.get(mechanisms[name].interface, {})

    def make(**options: object) -> object:
        return build(name, 8, **{**needed, **options})

    _answers(name, make, option, hints(mechanisms[name])[option], value)


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [
        ("criss_cross", "recurrence", 10**12),
        ("gumbel", "tau", 1e-300),
        ("csra", "lam", 1e300),
        ("mobilevit", "depth", 10**12),
        ("csra", "temperatures", (1.0, 1e300)),
    ],
)
def test_a_slip_of_the_keyboard_is_told_at_once(name: str, option: str, value: object) -> None:
    with pytest.raises(OptionError, match=rf"{option}: got .*, expected"):
        build(name, 16, **{**NEEDED.get(mechanisms[name].interface, {}), option: value})


@settings(max_examples=80, deadline=None)
@given(st.data(), odd)
def test_a_loss_or_metric_takes_no_value_of_another_type(data: st.DataObject, value: object) -> None:
    registry: Mapping[str, Any] = data.draw(st.sampled_from([losses, metrics]))
    name = data.draw(st.sampled_from(sorted(n for n in registry if built.options_of(registry[n]))))
    option = data.draw(st.sampled_from(sorted(built.options_of(registry[name]))))
    _answers(name, registry[name], option, hints(registry[name])[option], value)


@settings(max_examples=80, deadline=None)
@given(st.sampled_from(sorted(hints(TrainConfig))), odd)
def test_a_recipe_takes_no_value_of_another_type(option: str, value: object) -> None:
    _answers("TrainConfig", TrainConfig, option, hints(TrainConfig)[option], value)


OPENERS = [folder.open_folder, mask_folder.open_mask_folder, manifest.open_manifest, coco.open_coco]
TAKERS: list[Callable[..., object]] = [
    *(mechanisms[name] for name in mechanisms),
    *(losses[name] for name in losses),
    *(metrics[name] for name in metrics),
    *(models[name] for name in models),
    *OPENERS,
    dataset.open_dataset,
    scenes.scenes,
    scene_layout.SceneOptions,
    TrainConfig,
]


def test_every_option_has_an_annotation_that_can_be_checked() -> None:
    for taker in TAKERS:
        parameters = inspect.signature(taker).parameters.values()
        options = {p.name for p in parameters if p.kind is p.KEYWORD_ONLY} - {"device", "dtype"}
        assert options <= set(hints(taker)), taker


def test_unknown_options_are_answered_with_the_nearest() -> None:
    with pytest.raises(
        OptionError, match=r'folder has no option "sed"\. Nearest: seed.*Its options: seed, shares'
    ):
        checked("folder", folder.open_folder, {"sed": 3})


@pytest.mark.parametrize("word", ["true", "True", "TRUE", "false", "False", "fAlSe"])
def test_booleans_are_read_however_they_are_spelt(word: str) -> None:
    value = parse_call(f"se(bias={word})")[1]["bias"]
    assert value is (word.lower() == "true")
    assert str(parse(f"se(bias={word})@x")) == f"se(bias={value})@x"


def test_text_is_no_boolean() -> None:
    with pytest.raises(OptionError, match=r"bias: got 'false', expected True or False\. Write bias=False"):
        mechanisms["se"](16, bias="false")
    assert parse_call("x(a='false')")[1]["a"] == "false"


@pytest.mark.parametrize("word", ["timm/resnet18", "mine.nets:build", "mine:build"])
def test_a_name_in_parts_needs_no_quotes(word):
    assert parse_call(f"unet(encoder={word})")[1]["encoder"] == word
    assert printed(word) == word
    assert parse(str(parse("x(a='false')@b"))) == parse("x(a='false')@b")


def test_ten_thousand_options_are_read_in_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted, not timed: no option is compared with all others."""
    compared = 0

    class Key(str):
        __slots__ = ()

        def __eq__(self, other: object) -> bool:
            nonlocal compared
            compared += 1
            return str.__eq__(self, other)

        __hash__ = str.__hash__

    from foveate import calls

    monkeypatch.setattr(calls, "_option", lambda option, part: (Key(option), 1))
    assert len(calls.options_in(f"({','.join(f'a{n}' for n in range(10_000))})", "")) == 10_000
    assert compared < 1000


def test_an_option_that_is_given_twice_is_refused() -> None:
    from foveate.data.open import open_data

    with pytest.raises(SpecError, match="size is given twice"):
        parse_call("scenes(size=32, size=48)")
    with pytest.raises(OptionError, match="size is given twice"):
        open_data("scenes(size=32, size=48)")


class Record(TypedDict):
    names: list[str]
    where: tuple[int, int]


class Grown(TypedDict):
    """A record to which a later version added a key; annotations of this file are postponed."""

    names: list[str]
    more: NotRequired[int]


@dataclass
class Counted:
    names: list[str]
    length: int = field(init=False, default=0)


@pytest.mark.parametrize(
    ("value", "kind", "found"),
    [
        ([1, 2], tuple[int, ...], (1, 2)),
        ((1, 2), list[int], [1, 2]),
        (np.int64(3), int, 3),
        ("a", Path | str, "a"),
        (3, float | None, 3),
        ("b", Literal["a", "b"], "b"),
        (range(3), Sequence[int], (0, 1, 2)),
        (None, Annotated[float | None, Range(0, 1)], None),
        ({"names": ["x"], "length": 3, "more": 3}, Counted, Counted(["x"])),
        ({"names": ["x"], "where": [1, 2], "more": 3}, Record, {"names": ["x"], "where": (1, 2)}),
        ({"names": ["x"]}, Grown, {"names": ["x"]}),
        ({"names": ["x"], "more": 3}, Grown, {"names": ["x"], "more": 3}),
    ],
)
def test_what_fits_is_returned_as_the_annotation_has_it(value: object, kind: Any, found: object) -> None:
    assert fitted(value, kind) == found


@pytest.mark.parametrize(
    ("value", "kind", "words"),
    [
        (True, int, "got True, expected a whole number"),
        (1, bool, "got 1, expected True or False"),
        (float("nan"), float, "got nan, expected a finite number"),
        (10**400, float, "got a whole number of hundreds of digits, expected a finite number"),
        ("abc", Sequence[str], "got 'abc', expected several values, each text"),
        ([1, "a"], list[int], r"\[1\]: got 'a', expected a whole number"),
        ({"names": "x", "where": [1, 2]}, Record, "names: got 'x', expected several values, each text"),
        ({"names": [], "where": [1]}, Record, "where: got 1 values, expected 2"),
        ({"names": []}, Record, "where: got nothing"),
        ({"more": 3}, Grown, "names: got nothing"),
        ({"names": [], "more": "a"}, Grown, "more: got 'a', expected a whole number"),
        (True, Literal[1, 2], "got True, expected one of 1, 2"),
        (5, Annotated[int, Range(0, 3)], "got 5, expected a whole number from 0 to 3"),
    ],
)
def test_what_does_not_fit_is_told_with_its_place(value: object, kind: Any, words: str) -> None:
    with pytest.raises(Misfit, match=words):
        fitted(value, kind)


@settings(max_examples=120, deadline=None)
@given(
    odd,
    st.sampled_from(
        [int, float, bool, str, int | None, list[int], tuple[float, int], dict[str, int], Record, Grown]
    ),
)
def test_the_reader_never_fails_in_another_way(value: object, kind: Any) -> None:
    assert expected(kind)
    try:
        found = fitted(value, kind)
    except Misfit as misfit:
        assert misfit.got and misfit.expected
    else:
        assert fitted(found, kind) == found or found != found  # noqa: PLR0124  # NaN
