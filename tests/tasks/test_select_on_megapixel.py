"""Hard attention on megapixel scenes by the commands of everything else: train, predict, look, compare."""

import json

import pytest
import tifffile

import foveate as fv
from foveate.cli.__main__ import main
from foveate.data.open import open_data
from tests.compare.study_samples import brief_studies

DATA = "megapixel(size=500, train=8, test=6)"
SAMPLING = 'select(select="attention_sampling(patches=3, size=50, scale=0.12)")'


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FOVEATE_CACHE", str(tmp_path / "cache"))


def test_train_predict_and_look(tmp_path, capsys):
    with brief_studies():
        assert not main(
            ["train", DATA, "--model", SAMPLING, "--epochs", "1", "--batch-size", "4", "--out", "run"]
        )
    shown = open_data(DATA).splits["test"].load(0)
    tifffile.imwrite(tmp_path / "new.tif", shown, tile=(64, 64), photometric="rgb")
    capsys.readouterr()
    assert not main(["predict", "run", "new.tif", "--json"])
    (told,) = json.loads(capsys.readouterr().out)
    assert sum(told["classes"].values()) == pytest.approx(1, abs=1e-4)
    assert not main(["look", "run", "new.tif", "--out", "looked", "--json"])
    (seen,) = json.loads(capsys.readouterr().out)["pictures"]
    assert any("choice" in name for name in json.dumps(seen).split('"'))
    assert (tmp_path / "looked" / "maps.png").exists()


@pytest.mark.slow
def test_a_study_compares_an_overview_with_patches(tmp_path):
    with brief_studies():
        study = fv.compare(
            DATA.replace("train=8", "train=60"),
            model="downscaled(scale=0.12)",
            variants={
                "patches": SAMPLING,
                "random": SAMPLING.replace("attention_sampling", "random_patches").replace(
                    ", scale=0.12", ""
                ),
            },
            seeds=2,
            epochs=1,
            out=tmp_path / "study",
        )
    found = json.loads((tmp_path / "study" / "study.json").read_text())
    assert {variant["name"] for variant in found["variants"]} == {"baseline", "patches", "random"}
    assert len(study.table)
    assert (tmp_path / "study" / "report.html").exists()
