"""Copied, pickled, compiled as one graph and exported, a mechanism computes the same.

Compilers and exporters take seconds for each: the gate has some mechanisms, the nightly run has all.
"""

from __future__ import annotations

import copy
import functools
import io
import pickle
import warnings
from collections.abc import Iterator

import pytest
import torch

from foveate.mechanisms import mechanisms
from foveate.mechanisms.base import Mechanism
from tests.contracts.contract import EVERY, ask, call_arguments, inputs, like, loss, main, new, nightly_but

# The compiler meets every interface and most kernels in each gate, the exporter every interface. Relative
# attention is compiled in tests/mechanisms/kernels/test_relative_attention.py.
COMPILED = """
additive attention_gate attention_sampling cbam criss_cross csra eca emsa gem gumbel non_local side_fusion
""".split()
EXPORTED = "additive attention_gate attention_sampling cbam csra gem side_fusion".split()


def test_every_interface_is_compiled_and_exported() -> None:
    every = {cls.interface for cls in mechanisms.values()}
    assert {mechanisms[n].interface for n in COMPILED} == {mechanisms[n].interface for n in EXPORTED} == every


@EVERY
def test_copies_are_equal(name: str) -> None:
    module = new(name)
    tensors = inputs(module)
    expected = ask(module, tensors)
    fresh = new(name, seed=7)
    fresh.load_state_dict(module.state_dict())
    for twin in (copy.deepcopy(module), pickle.loads(pickle.dumps(module)), fresh):
        assert torch.equal(ask(twin, tensors), expected)


@pytest.mark.slow
@nightly_but(COMPILED)
def test_compiles_as_one_graph_for_any_size(name: str) -> None:
    """What comes behind the capture, the training's graph goes through below and the exported one as well."""
    torch._dynamo.reset()
    module = new(name)
    compiled = torch.compile(copy.deepcopy(module), fullgraph=True, backend="eager", dynamic=True)
    with torch.no_grad():
        for tensors in (inputs(module), inputs(module, 3, 6, 9)):
            output = ask(compiled, tensors, module.interface)
            torch.testing.assert_close(output, ask(module, tensors), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@nightly_but(COMPILED)
def test_compiles_as_one_graph_in_training(name: str) -> None:
    torch._dynamo.reset()
    module = new(name).train()
    compiled = torch.compile(copy.deepcopy(module), fullgraph=True, backend="aot_eager")
    twins = [like(inputs(module), lambda t: t.clone().requires_grad_()) for _ in range(2)]
    outputs = [ask(m, t, module.interface) for m, t in zip((module, compiled), twins, strict=True)]
    for output in outputs:
        loss(output).backward()
    torch.testing.assert_close(outputs[1], outputs[0], rtol=1e-4, atol=1e-5)
    for one, other in zip(*twins, strict=True):
        torch.testing.assert_close(other.grad, one.grad, rtol=1e-4, atol=1e-5)


@pytest.fixture(scope="module")
def one_registry() -> Iterator[None]:
    """Let the ONNX exporter gather its operators once and not for every export, where torch has the name."""
    module = pytest.importorskip("torch.onnx._internal.exporter._registration")
    with pytest.MonkeyPatch.context() as patch:
        if build := getattr(module.ONNXRegistry, "from_torchlib", None):
            patch.setattr(module.ONNXRegistry, "from_torchlib", staticmethod(functools.cache(build)))
        yield


def dynamic(module: Mechanism) -> tuple[object, ...]:
    """Every batch, height and width, and number of queries and of memory entries, is left open."""
    axes = {"read": [(0, 1)] * 2, "gate": [(0, 2, 3)] * 2}.get(module.interface, [(0, 2, 3)])
    shapes = [dict.fromkeys(each, torch.export.Dim.DYNAMIC) for each in axes]
    return ([shapes[0] for _ in module.widths],) if module.interface == "fuse" else tuple(shapes)


@pytest.mark.slow
@nightly_but(EXPORTED)
@pytest.mark.usefixtures("one_registry")
def test_exports_to_onnx_with_any_batch_and_size(name: str) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    module, stream = new(name), io.BytesIO()
    given, other = inputs(module, 2, 8, 6), inputs(module, 3, 5, 9)
    expected = ask(module, other)
    program = torch.export.export(module, call_arguments(module, given), dynamic_shapes=dynamic(module))
    torch.testing.assert_close(ask(program.module(), other, module.interface), expected)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own
        torch.onnx.export(program, dynamo=True, opset_version=18, verbose=False).save(stream)
    session = onnxruntime.InferenceSession(stream.getvalue(), providers=["CPUExecutionProvider"])
    feed = {put.name: t.numpy() for put, t in zip(session.get_inputs(), other, strict=True)}
    found = [torch.from_numpy(output) for output in session.run(None, feed)]
    output = main(found if len(found) > 1 else found[0], module.interface)
    torch.testing.assert_close(output, expected, rtol=1e-4, atol=1e-5)
