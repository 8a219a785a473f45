"""Where runs are made does not matter: several processes, one of them killed, come to what one comes to."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foveate.compare import engine
from foveate.compare.best import Choice, save_best
from foveate.compare.engine import local, processes
from foveate.compare.finished_study import Study
from foveate.compare.run_files import answers
from foveate.compare.store import Store
from foveate.compare.study import compare
from foveate.data.open import open_data
from foveate.errors import FoveateError, StudyError
from foveate.infer.load import load
from foveate.models import create_model
from foveate.train.progress import Silent
from tests.compare.study_samples import DATA, brief_studies, plan, words

DEEPER = "resnet14(width=8)"
ASKED = {
    "model": "resnet8(width=8)",
    "variants": [DEEPER, "se@stage3"],
    "seeds": 2,
    "progress": Silent(),
}


@pytest.fixture(scope="module")
def alone(home: Path) -> Study:
    """A study of a model and a mechanism, made by this process alone."""
    with brief_studies():
        return compare(**words(**ASKED, out=home / "alone"))


def outcome(folder: Path) -> tuple[Any, ...]:
    """Return all that the clock has no part in: numbers, verdicts, the bits of weights and answers."""
    result = json.loads((folder / "study.json").read_text())
    numbers = [(v["name"], v["score"], v["difference"], v["verdict"], v["gates"]) for v in result["variants"]]
    files = [*folder.glob("runs/*/*/model.safetensors"), *folder.glob("runs/*/*/test.npz")]
    bits = {str(path.relative_to(folder)): path.read_bytes() for path in files}
    return numbers, result["sentence"], result["best"], bits


def test_a_model_and_a_mechanism_are_judged_in_one_study(alone: Study):
    base, deeper, se, control = alone.result["variants"]
    assert (deeper["model"], deeper["spec"], deeper["control"]) == (DEEPER, None, None)
    assert deeper["as_attention"] is None and deeper["versus_control"] is None
    assert se["control"] == control["name"] and se["versus_control"] is not None
    assert deeper["cost"]["parameters"] == sum(
        p.numel() for p in create_model(DEEPER, classes=4).parameters()
    )
    assert deeper["difference"]["mean"] == pytest.approx(deeper["score"]["mean"] - base["score"]["mean"])
    assert set(alone.verdicts) >= {DEEPER, "se@stage3"} and alone.sentence
    assert "resnet14" in (alone.folder / "report.html").read_text(encoding="utf-8")


def test_a_model_that_is_a_variant_is_kept_and_predicts(alone: Study, home: Path):
    config = json.loads((alone.folder / "best" / "config.json").read_text())
    inputs = {name: config[name] for name in ("classes", "palette", "size", "normalisation", "levels")}
    shutil.copytree(alone.folder / "runs", home / "other" / "runs")
    save_best(Store(alone.folder).plan(), Choice(DEEPER, 1, "asked for"), home / "other", inputs)
    test = open_data(DATA).splits["test"]
    stored = answers(alone.folder, DEEPER, 1)
    found = load(home / "other").predict([test.load(item) for item in range(len(test))])
    assert stored is not None and np.allclose(found.numpy(), stored[1], atol=1e-5)


@pytest.fixture
def two_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let other processes begin with more threads than this one, which the last bits would show."""
    monkeypatch.setenv("OMP_NUM_THREADS", "2")


@pytest.mark.nightly  # with one of them killed as well: in the gate
def test_processes_come_to_the_same_bits(alone: Study, home: Path, two_threads: None):
    found = compare(**words(**ASKED, out=home / "two", engine="processes(count=2)"))
    assert outcome(found.folder) == outcome(alone.folder)


@pytest.mark.slow
def test_a_killed_process_loses_and_repeats_no_finished_run(alone: Study, home: Path, two_threads: None):
    out, until = home / "killed", time.monotonic() + 300
    with ThreadPoolExecutor(1) as pool:
        study = pool.submit(compare, **words(**ASKED, out=out, engine="processes(count=2)"))
        while (
            not (out / "study.sqlite").exists() or not (store := Store(out))._begun() or not store.records()
        ):
            assert not study.done() and time.monotonic() < until
            time.sleep(0.02)
        owner = store.held_by_others()[0]
        os.kill(int(owner.split("/")[-2]), signal.SIGKILL)
        before = store.records()
        study.result(timeout=400)
    after = store.records()
    assert before and all(after[key] == record for key, record in before.items())  # their seconds, too
    assert outcome(out) == outcome(alone.folder)


def test_processes_that_all_fail_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    Store.open(tmp_path, plan())
    monkeypatch.setattr(engine.sys, "executable", shutil.which("false"))
    with pytest.raises(StudyError, match=r"2 of 2 processes failed.*run the same command again"):
        processes(tmp_path, count=2)


@pytest.mark.parametrize(
    ("others", "text"),
    [
        ({"origin": {"source": "scenes(train=8, val=0, test=4, size=24)"}}, "the data has changed since"),
        ({"origin": {"source": None, "description": "a list"}}, "came from a Python object.*a list"),
        ({"plugins": ("plugin_nowhere",)}, 'plug-in "plugin_nowhere"'),
    ],
)
def test_what_a_process_cannot_bring_back_is_told_and_the_run_given_back(others, text: str, tmp_path: Path):
    Store.open(tmp_path, plan(**others))
    with pytest.raises(FoveateError, match=text):
        local(tmp_path)
    assert Store(tmp_path).held_by_others() == []
