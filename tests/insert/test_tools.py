"""torch.compile, torch.export and ONNX take an attended model wherever they take the plain one."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from foveate.insert.inserted_parts import gate_parameters
from foveate.insert.surgery import insert
from foveate.nested_tensors import tensors_in
from foveate.running import call_with, eval_seeded
from tests.insert.insert_models import CASES

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # the tools' own warnings

# Maps, pooling, scores and tokens: these meet the compiler in each gate, one of them each exporter.
IN_THE_GATE = ("handwritten", "timm_vit_tiny")

# fasterrcnn is left out: no tool takes the plain detector in one graph (its boxes depend on the picture).
SPECS = {
    "handwritten": "se@blocks+cbam_pool@pool+csra@output+input_gate@input",
    "resnet18": "cbam@blocks+dual@stage4+attention_pool@pool",
    "mobilenet_v3_small": "eca@blocks+scse@stage3+control(like=se)@stage4",
    "convnext_tiny": "coordinate@blocks+non_local@stage2",
    "densenet121": "se@stage1+cbam_pool@pool+csra@output",
    "efficientnet_b0": "spatial@blocks+multi_head@stage2",
    "vit_b_16": "se@blocks+csra@output",
    "swin_t": "channel@stage1+eca@blocks",
    "deeplabv3_resnet50": "se@bottleneck+criss_cross@output",
    "timm_resnet50": "se@before:layer2+eca@replace:*.bn1",
    "timm_lite0": "cbam@stage4",
    "timm_vit_tiny": "position@blocks+csra@output",
    "timm_convnext_atto": "se@stage2",
    "timm_mobilevitv2": "se@stage4+cbam_pool@pool",
    "timm_swin_tiny": "cbam@stage1+attention_pool@pool",
    "hugging_face_vit": "se@blocks+csra@output",
    "smp_unet": "se@skip+attention_gate@skip+se@output",
}


def gated(names: Iterable[str], *chosen: str) -> list[object]:
    """Return names, those that are not chosen marked as nightly."""
    return [name if name in chosen else pytest.param(name, marks=pytest.mark.nightly) for name in names]


def opened(name: str) -> tuple[nn.Module, object, list[Tensor]]:
    case = CASES[name]
    example = case.example()
    model = insert(case.model(), SPECS[name], example=example)
    for gate in gate_parameters(model):
        nn.init.constant_(gate, 0.5)
    with eval_seeded(model):
        return model, example, list(tensors_in(call_with(model, example)))


def assert_near(found: object, expected: list[Tensor]) -> None:
    for ours, theirs in zip(tensors_in(found), expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", gated(SPECS, *IN_THE_GATE))
def test_compile_takes_it_in_one_graph(name: str) -> None:
    model, example, expected = opened(name)
    torch._dynamo.reset()
    with torch.no_grad():
        assert_near(call_with(torch.compile(model, backend="aot_eager", fullgraph=True), example), expected)


@pytest.mark.parametrize("name", gated(SPECS, "timm_vit_tiny"))
def test_export_takes_it(name: str) -> None:
    model, example, expected = opened(name)
    args, kwargs = ((), example) if isinstance(example, dict) else ((example,), {})
    with torch.no_grad():
        program = torch.export.export(model, args, kwargs)
        assert_near(call_with(program.module(), example), expected)


@pytest.mark.parametrize("name", gated(["handwritten", "timm_vit_tiny", "smp_unet"], "handwritten"))
def test_onnx_takes_it(name: str, tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    model, example, expected = opened(name)
    path = tmp_path / "model.onnx"
    torch.onnx.export(model, (example,), path, dynamo=True, opset_version=18, verbose=False)
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    found = session.run(None, {session.get_inputs()[0].name: example.numpy()})  # type: ignore[attr-defined]
    assert_near([torch.from_numpy(item) for item in found], expected)
