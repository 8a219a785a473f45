"""One mechanism as a page of the documentation: what ``foveate show`` prints, in Markdown."""

from __future__ import annotations

from typing import Any

SITES = {"refine": "stage4", "pool": "pool", "label": "output"}


def page(facts: dict[str, Any]) -> str:
    """Return the page, without its picture.

    Args:
        facts: The facts of a mechanism with its data flow, as ``foveate show --json`` prints them.
    """
    from foveate.cli.drawing import draw
    from foveate.explain.dataflow import Step

    head, cost = facts["header"], facts["cost"]
    flow = [Step(**step) for step in facts["flow"]["steps"]]
    size, drawn = "×".join(map(str, cost["size"])), "×".join(map(str, facts["flow"]["size"]))
    parts = [
        f"# {facts['name']}\n\n{head['Summary']}",
        f"```text\n{head['Formula']}\n```",
        _facts(facts),
        f"## Use\n\n```python\n{_use(facts)}\n```",
        f"## Options\n\n{_options(facts)}",
        f"## Cost\n\n{_line(head['Cost'])}\n\nOn a map of {size}: {cost['parameters']:,} parameters, "
        f"{cost['macs']:,} multiply-adds per image.",
        f"## Data flow\n\nOn a map of {drawn}; ● are the weights that `fv.record` shows.\n\n"
        "```text\n" + "\n".join(draw(flow, 100)) + "\n```",
    ]
    return "\n\n".join(parts)


def _line(text: str) -> str:
    return " ".join(text.split())


def _facts(facts: dict[str, Any]) -> str:
    from foveate.mechanisms.ranks import taken

    head, facets = facts["header"], facts["facets"]
    rows = {
        "Paper": _line(head["Paper"]),
        "Shapes": _line(head["Shapes"]),
        "Takes": taken(tuple(facts["dims"])) if facts["dims"] else "a query and a memory of tokens",
        "Weighs": ", ".join(facets["over"]),
        "Asked by": {"input": "the input itself", "query": "a query"}[facets["driven_by"]],
        "Weighs how": facets["weighting"],
        "Can sit at": ", ".join(facets["sites"]),
        "Interface": facts["interface"],
        "Differs": _line(head["Differs"]),
    }
    cells = [f"| {word} | {text.replace('|', chr(92) + '|')} |" for word, text in rows.items()]
    return "\n".join(["| | |", "| --- | --- |", *cells])


def _use(facts: dict[str, Any]) -> str:
    name, given = facts["name"], "".join(f", {o}={v}" for o, v in facts["required"].items())
    lines = ["import torch", "import foveate as fv", ""]
    if facts["interface"] in SITES:
        lines += [
            'model = fv.create_model("resnet8", classes=10).eval()',
            "images = torch.rand(2, 3, 32, 32)",
            f'attended = fv.insert(model, "{name}@{SITES[facts["interface"]]}", example=images)',
        ]
        if facts["interface"] == "refine":
            lines[-1] = lines[-1].replace("stage4", "stage3")
        return "\n".join([*lines, "assert torch.equal(attended(images), model(images))"])
    call = {
        "gate": "module(torch.rand(2, 64, 8, 8), torch.rand(2, {gating}, 4, 4))",
        "fuse": "module([torch.rand(2, width, 8, 8) for width in module.widths])",
        "select": "patches, places, weights = module(torch.rand(2, 64, 100, 100))",
        "read": "context, weights = module(torch.rand(2, 3, 64), torch.rand(2, 49, 64))",
    }[facts["interface"]].format(**facts["required"])
    return "\n".join([*lines, f'module = fv.mechanisms["{name}"](64{given})', call])


def _options(facts: dict[str, Any]) -> str:
    if not facts["options"]:
        return "None."
    rows = [f"| `{name}` | {default} | {_line(text)} |" for name, default, text in facts["options"]]
    return "\n".join(["| option | default | meaning |", "| --- | --- | --- |", *rows])
