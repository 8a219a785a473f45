import json

import pytest

from foveate.cli.__main__ import main
from foveate.mechanisms import mechanisms

# One of each family, and the one with the longest name.
SHOWN = {*{cls.__module__.split(".")[2]: name for name, cls in mechanisms.items()}.values()}
SHOWN |= {max(mechanisms, key=len)}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in SHOWN else pytest.mark.slow) for name in mechanisms]
)
def test_every_mechanism_can_be_shown(name, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["show", name]) == 0
    printed = capsys.readouterr().out
    assert all(word in printed for word in ("Formula", "Paper", "Shapes", "Differs", "Maps", "Cost"))
    assert max(map(len, printed.splitlines())) <= 80


def test_cost_at_a_size(capsys):
    main(["show", "se(reduction=8)", "--size", "64,14,14", "--json"])
    told = json.loads(capsys.readouterr().out)
    assert told["cost"] == {
        "size": [64, 14, 14],
        "parameters": 2 * 64 * 8 + 72,
        "macs": 2 * 64 * 8,
        "bytes": 4 * 1096,
    }
    assert [name for name, *_ in told["options"]] == ["reduction", "bias", "least"]
    assert all(meaning for *_, meaning in told["options"])


@pytest.mark.parametrize("size", ["64", "a,b,c", "0,1,1", "-1,2,3", "1,2,3,4,5"])
def test_bad_size(size, capsys):
    assert main(["show", "se", f"--size={size}"]) == 2
    assert "expected channels, height and width" in capsys.readouterr().err


@pytest.mark.parametrize(("size", "macs"), [("64,100", 100), ("64,3,9,9", 243)])
def test_signals_and_volumes(size, macs, capsys):
    assert main(["show", "sse", f"--size={size}", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["dims"] == [1, 2, 3] and told["cost"]["macs"] == 64 * macs
    assert told["flow"]["size"] == told["cost"]["size"] == [int(n) for n in size.split(",")]
    assert main(["show", "coordinate", f"--size={size}"]) == 2
    assert "coordinate takes maps (B, C, H, W), not" in capsys.readouterr().err
    assert main(["show", "cbam(dimensions=2)", f"--size={size}"]) == 2


def test_unknown_option_of_a_mechanism(capsys):
    assert main(["show", "se(redction=8)"]) == 2
    assert "reduction" in capsys.readouterr().err
