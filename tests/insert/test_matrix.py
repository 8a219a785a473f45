"""The laws of insertion, for every model, mechanism and alias that can go together.

Every model with a few mechanisms at each alias, rotating, so that each mechanism meets several models and
each alias several mechanisms; the slow test takes many more. Some models meet them in each run of the tests,
all of them in the nightly one. Many mechanisms share one insertion, one behind the other: each has to let
through what it gets, to the bit.
"""

from __future__ import annotations

import copy
import functools
import pickle
import re

import pytest
import torch
from torch import nn

from foveate.errors import OptionError
from foveate.insert.inserted_parts import gate_parameters, inserted, inserted_parameters
from foveate.insert.sites import Survey
from foveate.insert.surgery import bypass, insert, remove
from foveate.insert.survey import survey
from foveate.mechanisms.base import build, mechanisms
from foveate.nested_tensors import bit_equal
from foveate.running import call_with, eval_seeded
from tests.insert.insert_models import CASES, Case

FIT = {"map": "refine", "grid": "refine", "tokens": "refine", "pool": "pool", "scores": "label"}

DENSE = ("deeplabv3_resnet50", "smp_unet")  # those that try every mechanism at a skip and at a bottleneck


@functools.lru_cache(maxsize=1)
def looked_at(name: str, whole: bool = False) -> tuple[nn.Module, object, Survey, object]:
    """Return a model, its example, survey and plain output; shared by the tests and touched by none."""
    case = CASES[name]
    model, example = case.model(whole), case.example()
    with eval_seeded(model):
        plain = call_with(model, example)
    return model, example, survey(model, example), plain


def aliases(found: Survey) -> list[str]:
    """Return the aliases with places of their own: features are the stages, skip1 is one of skip."""
    return [alias for alias in found.aliases if alias != "features" and not re.fullmatch(r"skip\d+", alias)]


def fitting(found: Survey, alias: str) -> list[str]:
    """Return every mechanism that can sit at an alias, and a control."""
    sites = found.find(alias)
    interfaces = {FIT[site.kind] for site in sites}
    if all(site.gating for site in sites):
        interfaces.add("gate")
    widths = frozenset((site.channels, site.gating) for site in sites)
    names = [name for name, cls in mechanisms.items() if cls.interface in interfaces and fits(name, widths)]
    return [*names, f"control(like={'se' if 'se' in names else names[0]})"]


@functools.cache
def fits(name: str, widths: frozenset[tuple[int, int]]) -> bool:
    """Tell whether a mechanism takes so many channels (heads may not divide them) and keeps them."""
    interface = mechanisms[name].interface
    try:
        for width, gating in widths:
            needed = {"label": {"classes": 2}, "gate": {"gating": gating}}.get(interface, {})
            built = build(name, width, device="meta", **needed)
            if interface == "gate" and built.out_channels != width:
                return False
    except OptionError:
        return False
    return True


def spread(names: list[str], turn: int, most: int) -> list[str]:
    """Return all but the refining mechanisms, and about ``most`` of those, others with each turn."""
    many = [name for name in names if name in mechanisms and mechanisms[name].interface == "refine"]
    step = max(1, -(-len(many) // most))
    return [name for name in names if name not in many] + many[turn % step :: step]


def rotated(name: str, found: Survey) -> str:
    """Return a spec with three mechanisms at every alias; all, for the two that few other models have."""
    turn, terms = 3 * list(CASES).index(name), []
    for offset, alias in enumerate(aliases(found)):
        names = fitting(found, alias)
        count = len(names) if alias in ("skip", "bottleneck") and name in DENSE else 3
        chosen = [names[(turn + offset + i) % len(names)] for i in range(min(count, len(names)))]
        terms += [f"{mechanism}@{alias}" for mechanism in chosen]
    return "+".join(terms)


def check_laws(case: Case, model: nn.Module, example: object, plain: object, spec: str) -> None:
    before = copy.deepcopy(model.state_dict())
    attended = insert(model, spec, example=example)
    assert inserted(attended)
    with eval_seeded(attended):
        assert bit_equal(call_with(attended, example), plain)
    check_keys(model, attended, before)
    check_gradients(case, attended, example)
    check_copies(attended, example)
    with eval_seeded(attended), bypass(attended):
        changed = call_with(attended, example)
    restored = remove(attended)
    with eval_seeded(restored):
        assert bit_equal(call_with(restored, example), changed)
    restored.load_state_dict(before)
    with eval_seeded(restored):
        assert bit_equal(call_with(restored, example), plain)
    assert str(restored) == str(model)


def check_keys(model: nn.Module, attended: nn.Module, before: dict[str, torch.Tensor]) -> None:
    """All old keys are there with equal shapes, a plain checkpoint loads, and the original is what it was."""
    new = attended.state_dict()
    assert {k: v.shape for k, v in before.items()} == {k: new[k].shape for k in before}
    answer = attended.load_state_dict(before, strict=False)
    assert not answer.unexpected_keys
    assert set(answer.missing_keys) <= new.keys() - before.keys()
    assert all(".foveate." in f".{key}" for key in new.keys() - before.keys())
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert not inserted(model)


def check_gradients(case: Case, attended: nn.Module, example: object) -> None:
    """After one step of an optimiser every inserted parameter has a gradient, and every gate has moved."""
    torch.manual_seed(0)
    shake(
        attended
    )  # as it starts, a mechanism may weigh all alike, which a normalisation behind it takes out
    optimiser = torch.optim.SGD(inserted_parameters(attended), lr=1e-3)
    case.loss(attended, example).backward()
    assert all(p.grad is not None for p in inserted_parameters(attended))  # DDP waits for every one
    optimiser.step()
    assert all(gate.detach().abs().max() > 0 for gate in gate_parameters(attended))
    still = set(inserted_slots(attended))
    start = copy.deepcopy([parameter.data for parameter in inserted_parameters(attended)])
    for _ in range(8):  # the one hidden unit of a narrow gate may be off for this image
        optimiser.zero_grad()
        case.loss(attended, example).backward()
        still &= silent(attended)
        if not still:
            break
        for parameter, value in zip(inserted_parameters(attended), start, strict=True):
            parameter.data.copy_(value)
        shake(attended, by=0.5)
    assert not still
    for path, holder in inserted(attended).items():
        for name, parameter in holder.named_parameters():
            assert parameter.grad is not None, f"{path}.{name}"


def shake(attended: nn.Module, by: float = 0.1) -> None:
    """Move every inserted parameter but the gates."""
    gates = {id(gate) for gate in gate_parameters(attended)}
    for parameter in inserted_parameters(attended):
        if id(parameter) not in gates:
            parameter.data += by * torch.randn_like(parameter)


def inserted_slots(attended: nn.Module) -> dict[str, list[nn.Parameter]]:
    """Return the parameters of every inserted mechanism, by its place and name."""
    return {
        f"{path}.{slot.name}": list(getattr(holder, slot.name).parameters())
        for path, holder in inserted(attended).items()
        for slot in holder.slots
        if slot.name
    }


def silent(attended: nn.Module) -> set[str]:
    """Return the inserted mechanisms none of whose parameters has a gradient other than zero."""
    return {
        place
        for place, own in inserted_slots(attended).items()
        if own and not any(p.grad is not None and p.grad.abs().max() > 0 for p in own)
    }


def check_copies(attended: nn.Module, example: object) -> None:
    with eval_seeded(attended):
        expected = call_with(attended, example)
    for twin in (copy.deepcopy(attended), pickle.loads(pickle.dumps(attended))):
        with eval_seeded(twin):
            assert bit_equal(call_with(twin, example), expected)


# A model of each form in each gate: maps, tokens, grids; test_segmenters has skips, test_families keywords.
QUICK = ("handwritten",)
LONG = ("vit_b_16", "swin_t")
WHOLE = ("timm_vit_tiny",)


def cases(quick: tuple[str, ...], slow: tuple[str, ...] = ()) -> list[object]:
    """Return the names of all models; those that are neither quick nor slow are nightly."""
    marks = dict.fromkeys(CASES, pytest.mark.nightly) | dict.fromkeys(slow, pytest.mark.slow)
    return [name if name in quick else pytest.param(name, marks=marks[name]) for name in CASES]


@pytest.mark.parametrize("name", cases(QUICK, LONG))
def test_laws_hold_for_some_mechanisms_at_every_alias(name: str) -> None:
    model, example, found, plain = looked_at(name)
    check_laws(CASES[name], model, example, plain, rotated(name, found))


@pytest.mark.slow
@pytest.mark.parametrize("name", cases(WHOLE))
def test_many_mechanisms_leave_every_alias_as_it_is(name: str) -> None:
    model, example, found, plain = looked_at(name, whole=True)
    for turn, alias in enumerate(aliases(found), start=list(CASES).index(name)):
        chosen = spread(fitting(found, alias), turn, most=12)
        spec = "+".join(f"{mechanism}@{alias}" for mechanism in chosen)
        attended = insert(model, spec, example=example)
        with eval_seeded(attended):
            assert bit_equal(call_with(attended, example), plain), alias


def test_every_mechanism_has_its_turn() -> None:
    names = [*mechanisms, "control(like=se)"]
    turns = [spread(names, turn, most=12) for turn in range(len(CASES))]
    assert set().union(*turns) == set(names)
    refining = sum(cls.interface == "refine" for cls in mechanisms.values())
    assert all(len(turn) <= 12 + len(names) - refining for turn in turns)
