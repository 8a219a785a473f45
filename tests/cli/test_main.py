"""The door: help, exit codes, errors as text."""

import json
import subprocess
import sys
from importlib.metadata import entry_points

import pytest

from foveate import __version__
from foveate.cli import __main__ as door
from foveate.cli.__main__ import COMMANDS, command, main
from foveate.errors import DataError
from foveate.models import list_models
from tests.shown import assert_shown, commands


@pytest.fixture(autouse=True)
def plain_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")


def test_every_verb_is_there():
    assert set(COMMANDS) == set(
        "list show sites cost check train compare report predict look judge serve crf demo".split()
    )


@pytest.mark.parametrize("words", [["--help"], [], *([name, "--help"] for name in COMMANDS)])
def test_help_fits_80_columns(words, capsys):
    assert main(words) == 0
    printed = capsys.readouterr().out
    assert "Usage: foveate" in printed
    assert max(map(len, printed.splitlines())) <= 80


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_an_example_and_says_json(name, capsys):
    main([name, "--help"])
    printed = capsys.readouterr().out
    assert f"$ foveate {name}" in printed
    assert "--json" in printed


CHECK = ["check", "scenes(size=24, classes=3, train=24, val=0, test=12)"]
QUICK_TO_RUN = ["list", "show", "sites", "cost", "check"]


@pytest.mark.parametrize("name", QUICK_TO_RUN)
def test_example_prints_what_the_help_shows(name, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "76")  # the help indents it by four
    ((words, shown),) = commands(command(name)[1])
    assert main(words) == 0
    assert_shown(shown, capsys.readouterr().out, name)


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == __version__


def test_module_and_script_are_the_same_door():
    ran = subprocess.run(
        [sys.executable, "-m", "foveate", "--version"], capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == __version__
    (script,) = (e for e in entry_points(group="console_scripts") if e.name == "foveate")
    assert script.load() is main


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["show", "cban"], 'no mechanism is called "cban". Nearest: cbam'),
        (["sites", "resnet19"], 'no model is called "resnet19"'),
        (["lst"], 'Did you mean "list"?'),
        (["list", "--ovr", "channels"], "Did you mean --over?"),
        (["sites"], "requires an argument"),
        (["check", "no/such/folder"], "no/such/folder"),
        (["predict", "no/such/folder", "a.png"], "no/such/folder"),
        (["report", "no/such/folder"], "no/such/folder"),
        (["compare", "scenes"], "se@blocks"),
        (["cost", "resnet8", "-a", "se@blcks"], "blocks"),
    ],
)
def test_what_cannot_be_used_is_said_in_a_text_alone(words, text, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    printed = capsys.readouterr()
    assert text in printed.err
    assert "Traceback" not in printed.err
    assert printed.out == ""


def test_traceback_shows_all():
    with pytest.raises(Exception, match="cban"):
        main(["show", "cban", "--traceback"])


@pytest.fixture
def broken(monkeypatch):
    """Return a function that makes every command raise an error."""

    def set_error(error):
        def run(words):
            raise error

        monkeypatch.setattr(door, "_run", run)

    return set_error


def test_a_defect_says_so(broken, capsys):
    broken(ZeroDivisionError("division by zero"))
    assert main(["list"]) == 70
    assert "ZeroDivisionError: division by zero" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["compare", "train", "demo"])
def test_ctrl_c_says_how_to_go_on(verb, broken, capsys):
    broken(KeyboardInterrupt())
    assert main([verb, "my pictures", "--out", "x"]) == 130
    assert f"foveate {verb} 'my pictures' --out x" in capsys.readouterr().err


def test_ctrl_c_elsewhere_just_stops(broken, capsys):
    broken(KeyboardInterrupt())
    assert main(["list"]) == 130
    assert "go on" not in capsys.readouterr().err


def test_a_full_disk_is_no_defect(broken, capsys):
    broken(OSError(28, "No space left on device"))
    assert main(["train"]) == 2
    assert "No space left" in capsys.readouterr().err


def test_reader_that_leaves_early_is_no_error():
    ran = subprocess.run(
        f"{sys.executable} -m foveate list models | head -1",
        shell=True,
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.strip() == list_models()[0]
    assert ran.stderr == ""


def test_what_is_said_beside_json_goes_elsewhere(capsys, tmp_path):
    sheet = tmp_path / "x.png"
    assert main([*CHECK, "--sheet", str(sheet), "--json"]) == 0
    printed = capsys.readouterr()
    json.loads(printed.out)
    assert f"{sheet}: not written" in printed.err


@pytest.mark.parametrize(
    "text",
    [
        "give --max-pixels 300 (in Python max_pixels=).",
        'class_folders="outer" (--class-folders outer on the command line)',
    ],
)
def test_messages_for_both_ways_stay_as_they_are(text, broken, capsys):
    broken(DataError(text))
    assert main(["check", "x"]) == 2
    assert capsys.readouterr().err == f"{text}\n"


def test_json_is_json(capsys):
    for words in (["list"], ["show", "se"], ["sites", "resnet8", "-m", "se"], ["cost", "resnet8"], CHECK):
        assert main([*words, "--json"]) == 0
        json.loads(capsys.readouterr().out)
