import json
import subprocess
import sys

import pytest

from foveate import plugins
from foveate.cli import catalogue
from foveate.cli.__main__ import main
from foveate.explain.methods import explanations
from foveate.mechanisms import mechanisms
from foveate.tasks import tasks


def listed(capsys, *filters):
    assert main(["list", *filters, "--json"]) == 0
    return {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)}


def test_all_of_them(capsys):
    assert set(listed(capsys)) == set(mechanisms)


@pytest.mark.parametrize(
    ("filters", "holds"),
    [
        (["--over", "channels"], lambda cls: "channels" in cls.facets.over),
        (["--driven-by", "query"], lambda cls: cls.facets.driven_by == "query"),
        (["--weighting", "soft"], lambda cls: cls.facets.weighting == "soft"),
        (["--weighting", "hard"], lambda cls: cls.facets.weighting == "hard"),
        (["--site", "output"], lambda cls: "output" in cls.facets.sites),
        (["--interface", "pool"], lambda cls: cls.interface == "pool"),
        (
            ["--over", "channels", "--site", "bottleneck"],
            lambda cls: "channels" in cls.facets.over and "bottleneck" in cls.facets.sites,
        ),
    ],
)
def test_filters(filters, holds, capsys):
    assert set(listed(capsys, *filters)) == {name for name, cls in mechanisms.items() if holds(cls)}


def test_pattern(capsys):
    assert set(listed(capsys, "mechanisms", "cbam*")) == {"cbam", "cbam_pool"}


def test_unknown_value_is_answered_with_the_near_ones(capsys):
    assert main(["list", "--over", "chanels"]) == 2
    assert capsys.readouterr().err.strip() == (
        'no value of --over is called "chanels". Nearest: channels, patches, branches, heads.'
    )


def test_nothing_found_is_said(capsys):
    assert main(["list", "--interface", "pool", "--over", "layers"]) == 0
    assert "matches all filters" in capsys.readouterr().out


def test_explanations(capsys):
    assert main(["list", "explanations"]) == 0
    told = capsys.readouterr().out
    assert all(name in told for name in explanations)
    assert main(["list", "explanations", "*cam*", "--json"]) == 0
    found = {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)}
    assert set(found) == {name for name in explanations if "cam" in name}
    assert found["hires_cam"]["reads"] == "layer" and found["hires_cam"]["signed"]


def test_models(capsys):
    assert main(["list", "models", "resnet?"]) == 0
    assert capsys.readouterr().out.split() == ["resnet8"]


@pytest.mark.parametrize("what", ["mechanisms", "tasks", "metrics", "losses"])
def test_table_fits_80_columns(what, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    main(["list", what])
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80


def entries(capsys, *words):
    assert main(["list", *words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_tasks_with_their_metrics_and_losses(capsys):
    assert set(entries(capsys, "tasks")) == set(tasks)
    own = {name for name, task in tasks.items() if task.__module__.startswith("foveate.")}
    assert all(len(said) == 1 and said[0] for name, said in entries(capsys, "tasks").items() if name in own)
    assert entries(capsys, "metrics") == {name: [*task.metric_names()] for name, task in tasks.items()}
    assert entries(capsys, "losses") == {name: [*task.loss_names()] for name, task in tasks.items()}
    assert entries(capsys, "tasks", "seg*").keys() == {"segmentation"}
    assert entries(capsys, "losses", "d*ce")["segmentation"] == ["dice"]
    assert main(["list", "datasets"]) == 2
    assert "datasets" in capsys.readouterr().err


def test_no_colour_without_a_terminal(capsys):
    main(["list"])
    assert "\x1b" not in capsys.readouterr().out


def test_the_catalogue_is_that_of_the_registries(monkeypatch):
    """It is there so that ``list`` need not import them."""
    monkeypatch.setattr(plugins, "_loaded", [])  # by other tests
    found = catalogue.current()
    models = [name for name in found["models"] if not name.startswith("toy_")]  # of other tests
    assert catalogue.catalogue() == {**found, "models": models}, "Do: python docs/write_pages.py"


def test_listing_imports_no_pytorch():
    code = (
        "import sys; from foveate.cli.__main__ import main; "
        "wanted = (['list'], ['list', '--families'], ['list', 'models', 'resnet*']); "
        "assert not any(main(words) for words in wanted); "
        "print([n for n in ('torch', 'timm', 'torchvision') if n in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == "[]"
