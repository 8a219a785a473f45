"""Where attention goes when its host is exchanged, and what is said when it goes away."""

from __future__ import annotations

import copy
import pickle
import warnings

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize

from foveate.errors import SiteWarning
from foveate.insert.host import Attended, plain_class
from foveate.insert.inserted_parts import gate_parameters, inserted
from foveate.insert.surgery import bypass, insert, remove
from tests.insert.changers import resnet

IMAGE = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def attended(spec: str) -> nn.Module:
    return insert(resnet(), spec, example=IMAGE, start="paper").eval()


def small() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU()).eval()


@pytest.mark.parametrize("spec", ["csra@output", "attention_pool@pool", "attention_pool@pool+se@blocks"])
def test_a_new_classifier_names_what_it_takes_away(spec: str) -> None:
    model = attended(spec)
    with pytest.warns(SiteWarning) as said:
        model.reset_classifier(7)
    assert any(spec.partition("@")[0] in str(w.message) for w in said)
    assert not any("se at" in str(w.message) for w in said)


def test_a_new_layer_names_what_it_takes_away() -> None:
    for replace in (
        lambda m: setattr(m, "fc", nn.Linear(24, 7)),
        lambda m: setattr(m, "fc", None),
        lambda m: m.add_module("fc", nn.Identity()),
    ):
        with pytest.warns(SiteWarning, match="csra at fc: the module that attention sits at was replaced by"):
            replace(attended("csra@output"))
    with pytest.warns(SiteWarning, match=r"se at layer4\b"):
        attended("se@stage4").layer4 = nn.Identity()
    with pytest.warns(SiteWarning, match=r"se at layer1\.0"):
        attended("se@blocks").layer1[0] = nn.Conv2d(8, 8, 1)


def test_what_keeps_attention_says_nothing() -> None:
    model = attended("se@blocks+csra@output")
    before = model(IMAGE)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fc = nn.Sequential(model.fc)
        model.layer2 = copy.deepcopy(model.layer2)
        model.layer1.extra = nn.Identity()
        fc, model.fc.inner = model.fc, nn.Identity()
        model.fc = fc
        del model.fc.inner
    assert torch.equal(model(IMAGE), before)


def test_a_converted_layer_is_the_host() -> None:
    model = insert(small(), "se@1", example=IMAGE)
    nn.init.ones_(gate_parameters(model)[0])
    before = model(IMAGE)
    converted = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    assert isinstance(converted[1], Attended) and plain_class(converted[1]) is nn.SyncBatchNorm
    assert torch.equal(converted.eval()(IMAGE), before)
    for twin in (copy.deepcopy(converted), pickle.loads(pickle.dumps(converted))):
        assert torch.equal(twin(IMAGE), before)
    assert type(remove(converted)[1]) is nn.SyncBatchNorm
    with bypass(converted):
        assert torch.equal(converted(IMAGE), small()(IMAGE))


@pytest.mark.parametrize("first", ["norm", "attention"])
def test_parametrizations_come_and_go_in_any_order(first: str) -> None:
    model = small()
    if first == "norm":
        parametrizations.weight_norm(model[0])
    model = insert(model, "se@0", example=IMAGE, start="paper")
    if first == "attention":
        parametrizations.weight_norm(model[0])
    twin, before = copy.deepcopy(model), model(IMAGE)
    assert torch.equal(twin(IMAGE), before)
    with pytest.raises(RuntimeError, match="Serialization of parametrized modules"):
        pickle.dumps(model)
    gone = remove(model)
    assert not inserted(gone) and parametrize.is_parametrized(gone[0])
    torch.testing.assert_close(gone(IMAGE), small()(IMAGE))
    parametrize.remove_parametrizations(gone[0], "weight")
    assert type(gone[0]) is nn.Conv2d
    assert torch.equal(model(IMAGE), before)
    parametrize.remove_parametrizations(model[0], "weight")
    torch.testing.assert_close(model(IMAGE), before)
    assert type(model[0]).__name__ == "AttendedConv2d" and type(remove(model)[0]) is nn.Conv2d


def test_a_graph_of_fx_is_attended_and_says_what_it_cannot() -> None:
    model = attended("se@blocks+se@*.bn1+csra@output")
    graph = torch.fx.symbolic_trace(model)
    assert torch.equal(graph(IMAGE), model(IMAGE))
    assert len(gate_parameters(graph)) == len(gate_parameters(model))
    with bypass(graph), bypass(model):
        assert torch.equal(graph(IMAGE), model(IMAGE))
    with pytest.raises(Exception, match="remove it from the model that was traced"):
        remove(graph)
    at_itself = insert(nn.Conv2d(3, 8, 3), "se@input", example=IMAGE)
    with pytest.raises(RuntimeError, match="cannot trace attention that sits at AttendedConv2d itself"):
        torch.fx.symbolic_trace(at_itself)
