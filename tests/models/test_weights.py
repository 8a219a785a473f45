from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from foveate.errors import CheckpointError
from foveate.models import create_model
from foveate.models.weights import read_weights


def fresh(seed: int, classes: int = 5, **options: int) -> torch.nn.Module:
    torch.manual_seed(seed)
    return create_model("resnet8", classes=classes, **{"width": 4, **options})


def same(first: dict, second: dict) -> bool:
    return list(first) == list(second) and all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("nest", [None, "state_dict", "model"])
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "module._orig_mod."])
def test_reads_pytorch_files_however_they_are_wrapped(tmp_path, nest, prefix):
    state = fresh(0).state_dict()
    wrapped = {f"{prefix}{name}": value for name, value in state.items()}
    torch.save({nest: wrapped, "epoch": 3} if nest else wrapped, tmp_path / "w.pth")
    torch.manual_seed(1)
    model = create_model("resnet8", classes=5, width=4, weights=tmp_path / "w.pth")
    assert same(model.state_dict(), state)


def test_reads_safetensors(tmp_path):
    state = fresh(0).state_dict()
    save_file(state, tmp_path / "w.safetensors")
    assert same(
        create_model("resnet8", classes=5, width=4, weights=str(tmp_path / "w.safetensors")).state_dict(),
        state,
    )


def test_a_head_for_other_classes_starts_anew_and_is_named(tmp_path, caplog):
    source = fresh(0, classes=9).state_dict()
    save_file(source, tmp_path / "w.safetensors")
    torch.manual_seed(1)
    model = create_model("resnet8", classes=5, width=4, weights=tmp_path / "w.safetensors")
    assert "left out fc.weight, fc.bias, made for another number of classes" in caplog.text
    own = fresh(1).state_dict()
    for name, value in model.state_dict().items():
        assert torch.equal(value, (own if name.startswith("fc") else source)[name]), name


def test_only_the_head_may_differ(tmp_path):
    save_file(fresh(0, width=5).state_dict(), tmp_path / "w.safetensors")
    with pytest.raises(
        CheckpointError, match=r'"conv1.weight": \(5, 3, 3, 3\) in the file, \(4, 3, 3, 3\) in the model'
    ):
        create_model("resnet8", classes=5, width=4, weights=tmp_path / "w.safetensors")


def test_a_layer_that_happens_to_be_as_wide_as_the_head_is_no_head(tmp_path):
    """8 classes and stages of 8 channels, other widths must not pass for another number of classes."""
    save_file(fresh(0, classes=8, width=2).state_dict(), tmp_path / "w.safetensors")
    with pytest.raises(CheckpointError, match="another shape"):
        create_model("resnet8", classes=8, width=4, weights=tmp_path / "w.safetensors")


def test_misfits_name_the_nearest(tmp_path):
    state = {name.replace("fc.", "fcc."): value for name, value in fresh(0).state_dict().items()}
    save_file(state, tmp_path / "w.safetensors")
    message = (
        r'2 weights are missing, such as "fc.weight", "fc.bias". Nearest: fcc.weight.*2 are not in .*"fcc'
    )
    with pytest.raises(CheckpointError, match=message):
        create_model("resnet8", classes=5, width=4, weights=tmp_path / "w.safetensors")


class Payload:
    """Writes a file when it is unpickled: what a PyTorch file from the internet could do."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self):
        return (open, (self.path, "w"))


def test_nothing_in_a_file_is_executed(tmp_path):
    torch.save({"weight": Payload(str(tmp_path / "harm"))}, tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match="cannot be read as weights"):
        read_weights(tmp_path / "w.pth")
    assert not (tmp_path / "harm").exists()


def test_settings_of_argparse_beside_the_weights_are_no_hindrance(tmp_path):
    inner = Namespace(gpus={0, 1}, out=Path("runs") / "a", dtype=torch.float16)
    settings = Namespace(
        lr=0.1, arch="resnet50", milestones=[30, 60], device=torch.device("cpu"), inner=inner
    )
    content = {"state_dict": {"module.weight": torch.ones(2)}, "args": settings, "epoch": 3}
    torch.save(content, tmp_path / "w.pth")
    assert torch.equal(read_weights(tmp_path / "w.pth")["weight"], torch.ones(2))


def test_code_in_settings_is_not_executed(tmp_path):
    settings = Namespace(lr=0.1, hook=Payload(str(tmp_path / "harm")))
    torch.save({"state_dict": {"weight": torch.ones(2)}, "args": settings}, tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match="cannot be read as weights"):
        read_weights(tmp_path / "w.pth")
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize("content", [b"", b"not weights at all", b"\x00" * 100])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_what_is_no_file_of_weights(tmp_path, content, suffix):
    (tmp_path / f"w{suffix}").write_bytes(content)
    with pytest.raises(CheckpointError, match="cannot be read as weights"):
        read_weights(tmp_path / f"w{suffix}")


def test_tensors_without_names_are_refused(tmp_path):
    torch.save([torch.ones(2)], tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match="holds a list, expected tensors by name"):
        read_weights(tmp_path / "w.pth")


def test_a_score_of_numpy_beside_the_weights_is_no_hindrance(tmp_path):
    state = {"weight": torch.ones(2)}
    torch.save({"model_state": state, "best_score": np.float64(0.7), "step": np.int64(3)}, tmp_path / "a.pth")
    assert torch.equal(read_weights(tmp_path / "a.pth")["weight"], state["weight"])
