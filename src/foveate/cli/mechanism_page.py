"""One mechanism as a page of the documentation: what ``foveate show`` prints, in Markdown."""

from __future__ import annotations

from typing import Any

SITES = {"refine": "stage4", "pool": "pool", "label": "output"}


def page(told: dict[str, Any]) -> str:
    """Return the page, without its picture.

    Args:
        told: The facts of a mechanism with its data flow, as ``foveate show --json`` prints them.
    """
    from foveate.cli.drawing import draw
    from foveate.explain.dataflow import Step

    head, cost = told["header"], told["cost"]
    flow = [Step(**step) for step in told["flow"]["steps"]]
    size, drawn = "×".join(map(str, cost["size"])), "×".join(map(str, told["flow"]["size"]))
    parts = [
        f"# {told['name']}\n\n{head['Summary']}",
        f"```text\n{head['Formula']}\n```",
        _facts(told),
        f"## Use\n\n```python\n{_use(told)}\n```",
        f"## Options\n\n{_options(told)}",
        f"## Cost\n\n{_line(head['Cost'])}\n\nOn a map of {size}: {cost['parameters']:,} parameters, "
        f"{cost['macs']:,} multiply-adds an image.",
        f"## Data flow\n\nOn a map of {drawn}; ● are the weights that `fv.record` shows.\n\n"
        "```text\n" + "\n".join(draw(flow, 100)) + "\n```",
    ]
    return "\n\n".join(parts)


def _line(text: str) -> str:
    return " ".join(text.split())


def _facts(told: dict[str, Any]) -> str:
    from foveate.mechanisms.ranks import taken

    head, facets = told["header"], told["facets"]
    rows = {
        "Paper": _line(head["Paper"]),
        "Shapes": _line(head["Shapes"]),
        "Takes": taken(tuple(told["dims"])) if told["dims"] else "a query and a memory of tokens",
        "Weighs": ", ".join(facets["over"]),
        "Asked by": {"input": "the input itself", "query": "a query"}[facets["driven_by"]],
        "Weighs how": facets["weighting"],
        "Can sit at": ", ".join(facets["sites"]),
        "Interface": told["interface"],
        "Differs": _line(head["Differs"]),
    }
    cells = [f"| {word} | {text.replace('|', chr(92) + '|')} |" for word, text in rows.items()]
    return "\n".join(["| | |", "| --- | --- |", *cells])


def _use(told: dict[str, Any]) -> str:
    name, given = told["name"], "".join(f", {o}={v}" for o, v in told["required"].items())
    lines = ["import torch", "import foveate as fv", ""]
    if told["interface"] in SITES:
        lines += [
            'model = fv.create_model("resnet8", classes=10).eval()',
            "images = torch.rand(2, 3, 32, 32)",
            f'attended = fv.insert(model, "{name}@{SITES[told["interface"]]}", example=images)',
        ]
        if told["interface"] == "refine":
            lines[-1] = lines[-1].replace("stage4", "stage3")
        return "\n".join([*lines, "assert torch.equal(attended(images), model(images))"])
    call = {
        "gate": "module(torch.rand(2, 64, 8, 8), torch.rand(2, {gating}, 4, 4))",
        "fuse": "module([torch.rand(2, width, 8, 8) for width in module.widths])",
        "read": "context, weights = module(torch.rand(2, 3, 64), torch.rand(2, 49, 64))",
    }[told["interface"]].format(**told["required"])
    return "\n".join([*lines, f'module = fv.mechanisms["{name}"](64{given})', call])


def _options(told: dict[str, Any]) -> str:
    if not told["options"]:
        return "None."
    rows = [f"| `{name}` | {default} | {_line(text)} |" for name, default, text in told["options"]]
    return "\n".join(["| option | default | meaning |", "| --- | --- | --- |", *rows])
