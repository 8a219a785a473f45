"""No code runs that a file names, nothing is downloaded, and no name steers a terminal."""

from __future__ import annotations

import csv
import json
import pickle
import socket
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from foveate.cli.__main__ import main
from foveate.cli.output import machine, say
from foveate.compare.report.write import write_report
from foveate.errors import CheckpointError, FoveateError, OptionError, TrustError, shown
from foveate.files import write_json
from foveate.infer.load import load
from foveate.insert.insert_file import load_insert, save_insert
from foveate.insert.surgery import insert
from foveate.models import create_model
from foveate.models.names import names_code
from foveate.models.weights import read_weights
from foveate.tensor_file import save_tensors
from foveate.trust import expect_trusted, may_download, reading

MODULE = """
    from pathlib import Path
    import torch

    def build(classes, mark="ran"):
        Path(mark).touch()
        head = torch.nn.Linear(4, classes)
        return torch.nn.Sequential(
            torch.nn.Conv2d(3, 4, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), head
        )
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A function of somebody's own in the current directory, which leaves a file when it runs."""
    name = "strange_model"
    (tmp_path / f"{name}.py").write_text(textwrap.dedent(MODULE))
    monkeypatch.chdir(tmp_path)
    yield f"{name}:build"
    sys.modules.pop(name, None)


def saved(folder: Path, model: str, network: nn.Module | None = None, **others: Any) -> Path:
    """A folder as `foveate train` leaves it."""
    folder.mkdir(exist_ok=True)
    config = {
        "format": 1,
        "model": model,
        "spec": None,
        "start": "identity",
        "task": "classification",
        "classes": ["a", "b"],
        "palette": None,
        "size": [32, 32],
        "normalisation": {"mean": [0.5] * 3, "std": [0.5] * 3},
    }
    write_json(folder / "config.json", {**config, **others})
    save_tensors((network or create_model("resnet8", classes=2)).state_dict(), folder / "model.safetensors")
    return folder


NAMES = [
    "{own}",
    "{own}(mark=other)",
    "unet(encoder='{own}')",
    "unet(encoder='{own}(mark=other)')",
    "ag_cnn(encoder='{own}')",
    "torch.hub:load(repo_or_dir='a/b')",
    "os:system",
    "foveate.models.create:create_model",
    "timm:create_model(model_name='hf-hub:a/b')",
    "\x1b[2J{own}",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_in_a_file_runs_nothing(name: str, own: str, tmp_path: Path) -> None:
    folder = saved(tmp_path / "theirs", name.format(own=own))
    before = set(sys.modules)
    with pytest.raises(FoveateError) as caught:
        load(folder)
    assert "strange_model" not in set(sys.modules) - before
    assert not (tmp_path / "ran").exists() and not (tmp_path / "other").exists()
    assert "\x1b" not in str(caught.value)


def test_the_error_says_what_would_run_and_how_to_trust_it(own: str, tmp_path: Path) -> None:
    saved(tmp_path / "theirs", own)
    with pytest.raises(
        TrustError, match=r"config\.json names .strange_model:build.*run.*--trust-code.*trust_code=True"
    ):
        load(tmp_path / "theirs")


def test_a_trusted_folder_is_loaded_and_a_name_that_is_typed_needs_no_word(own: str, tmp_path: Path) -> None:
    typed = create_model(own, classes=2)
    folder = saved(tmp_path / "mine", own, typed)
    assert torch.equal(load(folder, trust_code=True)[3].weight, typed[3].weight)  # type: ignore[index]
    with pytest.raises(OptionError, match="trust_code: got 'yes'"):
        load(folder, trust_code="yes")  # type: ignore[arg-type]


def test_predict_asks_for_the_word(own: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from PIL import Image

    Image.new("RGB", (32, 32)).save(tmp_path / "a.png")
    folder = saved(tmp_path / "mine", own, create_model(own, classes=2))
    assert main(["predict", str(folder), str(tmp_path / "a.png")]) == 2
    assert "--trust-code" in capsys.readouterr().err
    assert main(["predict", str(folder), str(tmp_path / "a.png"), "--trust-code"]) == 0


def test_trust_ends_with_its_block_and_holds_for_what_is_nested() -> None:
    expect_trusted("a:b")
    with reading("x/config.json"):
        with pytest.raises(TrustError), reading("y", trusted=False):
            expect_trusted("a:b")
        with reading("y", trusted=True):
            expect_trusted("a:b")
        with pytest.raises(TrustError, match="x/config"):
            expect_trusted("a:b")
    expect_trusted("a:b")


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("something asked for the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize(
    "name",
    [
        "timm/test_resnet(pretrained=True)",
        "torchvision/resnet18(pretrained=true)",
        "unet(encoder=resnet18, pretrained_encoder=True)",
        "unet(encoder=timm/test_resnet, pretrained_encoder=True)",
    ],
)
def test_nothing_is_downloaded_for_a_file(name: str) -> None:
    with reading("config.json"):
        assert not may_download()
        assert isinstance(create_model(name, classes=2), nn.Module)
    assert may_download()


@pytest.mark.parametrize(
    "name",
    [
        "hf-hub:a/b",
        "timm/hf-hub:a/b",
        "hf_hub:a/b",
        "local-dir:/tmp/x",
        "timm/test_resnet(checkpoint_path='x.pth')",
    ],
)
def test_nobody_loads_weights_behind_a_name(name: str) -> None:
    with pytest.raises(OptionError, match="weights=PATH"):
        create_model(name)
    with pytest.raises(OptionError, match="weights=PATH"), reading("config.json"):
        create_model(name)


def test_which_names_run_code() -> None:
    assert names_code("a:b") and names_code("unet(encoder='a:b(width=3)')")
    assert not names_code("unet(encoder=timm/resnet18)") and not names_code("resnet8")


class Harm:
    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return Path("harm").touch, ()  # type: ignore[return-value]


@pytest.mark.parametrize(
    "write", [torch.save, lambda found, file: Path(file).write_bytes(pickle.dumps(found, 2))]
)
def test_pickled_code_is_refused_in_our_words(write: Callable[..., Any], tmp_path: Path) -> None:
    write({"weight": Harm()}, tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match="runs no code that a file of weights names") as caught:
        read_weights(tmp_path / "w.pth")
    for advice in ("weights_only", "safe_globals", "add_safe", "trust the source", "arbitrary"):
        assert advice not in str(caught.value)


def test_an_insert_file_is_read_as_strictly(tmp_path: Path) -> None:
    import safetensors.torch

    plain = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU())
    example = torch.rand(1, 3, 8, 8)
    path = save_insert(insert(plain, "se@1", example=example), tmp_path / "a.safetensors")
    load_insert(plain, path, example=example)
    with safetensors.safe_open(path, "pt") as file:
        header, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}
    del header["sha256"]
    for name in header:
        for odd in (
            None,
            "",
            "[]",
            '{"spec": 3}',
            "x",
            "[" * 5000,
            '{"spec": "se@1", "start": "soon"}',
            "\x1b[2J",
        ):
            changed = {key: value for key, value in {**header, name: odd}.items() if value is not None}
            safetensors.torch.save_file(tensors, tmp_path / "b.safetensors", changed)
            try:
                load_insert(plain, tmp_path / "b.safetensors", example=example)
            except FoveateError as error:
                assert "\x1b" not in str(error)


CONFIG_KEYS = ["format", "model", "spec", "start", "task", "classes", "size", "normalisation", "palette"]
ODD = [
    None,
    3,
    -1,
    1.5,
    True,
    "",
    "x",
    [],
    {},
    [[]],
    {"a": 1},
    [0, 0],
    ["a", "a"],
    [3],
    10**30,
    "a" * 300,
    "\x1b[31m",
]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("saved") / "sound", "resnet8")


@pytest.mark.parametrize("key", CONFIG_KEYS)
def test_nonsense_in_a_description_ends_in_a_finding(key: str, sound: Path, tmp_path: Path) -> None:
    config = json.loads((sound / "config.json").read_text())
    (tmp_path / "model.safetensors").symlink_to(sound / "model.safetensors")
    for odd in [*ODD, "absent"]:
        changed = {**config, key: odd}
        if odd == "absent":
            del changed[key]
        (tmp_path / "config.json").write_text(json.dumps(changed))
        try:
            load(tmp_path)
        except FoveateError as error:
            assert "\x1b" not in str(error)


@pytest.mark.parametrize("content", ["", "{", "[]", "3", "null", '"x"', "[" * 100_000, '{"a": NaN}'])
def test_a_description_that_is_none_is_told(content: str, sound: Path, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").symlink_to(sound / "model.safetensors")
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"config\.json"):
        load(tmp_path)


def test_weights_of_another_model_or_not_numbers_are_told(sound: Path, tmp_path: Path) -> None:
    other = saved(tmp_path / "other", "resnet8", checksum="0" * 64)
    with pytest.raises(CheckpointError, match=r"not the weights that config\.json was written for"):
        load(other)
    broken = create_model("resnet8", classes=2)
    next(broken.parameters()).data[0] = float("nan")
    with pytest.raises(CheckpointError, match="not finite"):
        load(saved(tmp_path / "nan", "resnet8", broken))
    with pytest.raises(CheckpointError, match=r"normalisation\.std.*above 0"):
        load(saved(tmp_path / "flat", "resnet8", normalisation={"mean": [0.5] * 3, "std": [0, 1, 1]}))


# What is printed


@given(st.text())
def test_printed_text_steers_no_terminal(text: str) -> None:
    printed = shown(text)
    assert not [
        c
        for c in printed
        if (ord(c) < 32 and c not in "\t\n") or 127 <= ord(c) < 160 or 0xD800 <= ord(c) < 0xE000
    ]
    assert json.loads(shown(json.dumps({"a": text}, ensure_ascii=False), json=True)) == {"a": text}


def test_every_way_of_printing_escapes(capsys: pytest.CaptureFixture[str]) -> None:
    say("a\x1b[2Jb")
    machine({"a\x9b": "\x1b[2J"})
    assert main(["predict", "\x1b[2J", "a.png"]) == 2
    assert "\x1b" not in str(OptionError("\x1b"))
    told = capsys.readouterr()
    assert "\x1b" not in told.out + told.err and "\x9b" not in told.out and "\\x1b[2J" in told.out


def test_no_cell_of_a_table_is_a_formula(tmp_path: Path) -> None:
    names = ["=1+1", "+1", "-1+1", "@SUM(A1)", "\t=1", " =1", "|calc", "＝1"]
    runs = [{"variant": name, "seed": 0, "score": -1.5} for name in names]
    write_report({"question": {}, "variants": [], "runs": runs}, tmp_path)
    with (tmp_path / "runs.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert [row[0] for row in rows[1:]] == [f"'{name}" for name in names]
    assert {row[2] for row in rows[1:]} == {"-1.5"}
