import json

from foveate.cli.__main__ import main
from foveate.mechanisms import mechanisms


def found(capsys, *words):
    assert main(["sites", *words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_sites_have_shapes_and_costs(capsys):
    sites = found(capsys, "resnet8", "--size", "32", "-m", "se(reduction=8)", "-m", "csra")
    (stage3,) = (site for site in sites if "stage3" in site["aliases"])
    assert stage3["shape"] == [64, 8, 8]
    assert stage3["costs"] == {"se(reduction=8)": {"parameters": 2 * 64 * 8 + 72, "macs": 2 * 64 * 8}}
    (output,) = (site for site in sites if "output" in site["aliases"])
    assert output["costs"] == {"csra": {"parameters": 64 * 1000, "macs": 64 * 1000 * 64}}


def test_costs_are_those_of_the_inserted_model(capsys):
    sites = found(capsys, "resnet8", "-m", "cbam")
    (at,) = (site["costs"]["cbam"] for site in sites if "stage2" in site["aliases"])
    main(["cost", "resnet8", "-a", "cbam@stage2", "--json"])
    plain, inserted = json.loads(capsys.readouterr().out)["variants"]
    assert inserted["macs"] - plain["macs"] == at["macs"]
    assert inserted["parameters"] - plain["parameters"] == at["parameters"] + 1  # and the gate


def test_gates_have_costs_at_skip_connections_alone(capsys):
    sites = found(capsys, "unet", "--size", "64", "-m", "attention_gate")
    priced = [site for site in sites if site["costs"]]
    assert priced == [site for site in sites if "skip" in site["aliases"]] and len(priced) == 4
    wide, skip1 = 64, next(site for site in priced if "skip1" in site["aliases"])
    assert (skip1["gating"], skip1["shape"]) == (wide, [64, 32, 32])
    hidden, cells = 32, 16 * 16
    macs = cells * (4 * 64 * hidden + hidden) + cells * wide * hidden + 32 * 32 * 64 * 64
    assert skip1["costs"]["attention_gate"]["macs"] == macs


def test_all_lists_more(capsys):
    few = found(capsys, "resnet8", "-m", "se")
    assert len(found(capsys, "resnet8", "-m", "se", "--all")) > len(few)


def test_size(capsys):
    assert found(capsys, "resnet8", "-m", "se", "--size", "64")[0]["shape"] == [3, 64, 64]


def test_table_fits_80_columns(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    widest = sorted(mechanisms, key=len)[-4:]
    main(["sites", "resnet8", *(word for name in widest for word in ("-m", name))])
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= 80
    assert "--all" in printed
