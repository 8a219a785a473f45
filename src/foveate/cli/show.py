"""``foveate show``: everything about one mechanism."""

from __future__ import annotations

from typing import Any

EXAMPLE = """
    $ foveate show eca --size 64,32,32
    eca  (EfficientChannel, channel)
    Efficient channel attention: one gate per channel, from the means of its
    neighbours in channel order.

    Formula  y = x * sigmoid(conv1d_k(mean(x))), k = max(3, t or t + 1,
             whichever is odd), t = floor((log2 C + 1) / 2)
    Paper    Wang, Wu, Zhu, Li, Zuo, Hu. ECA-Net: Efficient Channel Attention
             for Deep Convolutional Neural Networks. CVPR 2020.
             arXiv:1910.03151, section 3.3 and equation 12.
    Shapes   x (B, C, H, W) -> (B, C, H, W); map (B, C, 1, 1), gates in (0, 1).
    Differs  no kernel of 1, by which each channel would see itself alone: under
             8 channels k is 3, as in timm.
    Weighs   channels; soft; driven by the input
    Takes    signals (B, C, L), maps (B, C, H, W) or volumes (B, C, D, H, W)
    Maps     b c 1 1
    Sits at  features, skip, pool (interface: refine)
    Cost     parameters k, MACs k*C, whatever H and W.
      here   3 parameters (12 B), 192 MACs per image on a map of 64×32×32

    option       default  meaning
    ────────────────────────────────────────────────────────────────────────────
    kernel_size  None     How many neighbouring channels one gate sees; odd.
                          None for the paper's choice.

    Data flow on a map of 64×32×32; ● are the weights

    ○    x                           64×32×32
    ├─╮
    │ ○  mean                          64×1×1
    │ ○  excite: 3-wide convolution      1×64
    │ ○  sigmoid                           64
    │ ●  map: the weights, b c 1 1     64×1×1
    ├─╯
    ○    ×                           64×32×32
"""


def show(mechanism: str, /, *, size: str = "256,14,14", markdown: bool = False, json: bool = False) -> None:
    """Show one mechanism: formula, paper, shapes, options, sites, cost, and a drawing of its data flow.

    Args:
        mechanism: A name from `foveate list`, with options if you like: "se(reduction=8)".
        size: Channels, height and width of the map to weigh; channels and length of a signal;
            channels, depth, height and width of a volume.
        markdown: Print a page for the documentation.
        json: Print JSON.
    """
    from foveate.cli import mechanism_facts, mechanism_page, output
    from foveate.mechanisms import mechanisms

    name, options = mechanism_facts.parse_mechanism(mechanism)
    sides = mechanism_facts.parse_map_size(size)
    facts = mechanism_facts.facts(name, mechanisms[name], sides, **options)
    facts["flow"] = mechanism_facts.flow(name, sides, options)
    if json:
        output.machine(facts)
    elif markdown:
        print(mechanism_page.page(facts))
    else:
        _print(facts)


def _print(facts: dict[str, Any]) -> None:
    from foveate.cli.drawing import draw
    from foveate.cli.output import bytes_short, console, paragraph, say, table
    from foveate.explain.dataflow import Step
    from foveate.mechanisms.ranks import taken
    from foveate.quantities import short

    head, facets, cost = facts["header"], facts["facets"], facts["cost"]
    say(f"{facts['name']}  ({facts['class']}, {facts['family']})")
    paragraph(head["Summary"])
    say()
    lines = {
        "Formula": head.get("Formula", ""),
        "Paper": head.get("Paper", ""),
        "Shapes": head.get("Shapes", ""),
        "Differs": head.get("Differs", ""),
        "Weighs": f"{', '.join(facets['over'])}; {facets['weighting']}; driven by the {facets['driven_by']}",
        "Takes": taken(tuple(facts["dims"])) if facts["dims"] else "a query and a memory of tokens",
        "Maps": ", ".join(facts["maps"]),
        "Sits at": f"{', '.join(facets['sites'])}  (interface: {facts['interface']})",
        "Cost": head.get("Cost", ""),
        "  here": f"{short(cost['parameters'])} parameters ({bytes_short(cost['bytes'])}), "
        f"{short(cost['macs'])} MACs per image on a map of {'×'.join(map(str, cost['size']))}"
        + "".join(f", {name}={value}" for name, value in facts["required"].items()),
    }
    for word, text in lines.items():
        _entry(word, text)
    if facts["options"]:
        say()
        table(["option", "default", "meaning"], facts["options"])
    flow = facts["flow"]
    say(f"Data flow on a map of {'×'.join(map(str, flow['size']))}; ● are the weights")
    say()
    say("\n".join(draw([Step(**step) for step in flow["steps"]], console().width)))


def _entry(word: str, text: str) -> None:
    """Print ``word`` and, indented beside it, a text that may be longer than a line."""
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    from foveate.cli.output import console

    grid = Table.grid(padding=(0, 1))
    grid.add_column(width=8)
    grid.add_column(overflow="fold")
    grid.add_row(Text(word, style="bold"), Text(" ".join(text.split())))
    console().print(Padding(grid, 0))
