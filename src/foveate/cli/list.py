"""``foveate list``: the mechanisms, and which of them answer the four questions as asked; or the models."""

from __future__ import annotations

from typing import Literal

EXAMPLE = """
    $ foveate list --interface gate
    name             interface  weighs     asks   how   dims     can sit at
    ────────────────────────────────────────────────────────────────────────
    attention_gate   gate       positions  query  soft  1, 2, 3  skip
    global_upsample  gate       channels   query  soft  1, 2, 3  skip
"""


def list_(
    what: Literal["mechanisms", "models"] = "mechanisms",
    pattern: str = "*",
    /,
    *,
    over: str | None = None,
    driven_by: str | None = None,
    weighting: str | None = None,
    site: str | None = None,
    interface: str | None = None,
    dims: str | None = None,
    families: bool = False,
    markdown: bool = False,
    json: bool = False,
) -> None:
    """List the mechanisms, all or those with the facets asked for; or the models.

    Args:
        what: mechanisms, or models.
        pattern: Only names that match, such as "resnet*".
        over: Only mechanisms that weigh this: channels, positions, heads, scales, branches, layers, steps,
            classes or patches.
        driven_by: Only those that the input itself drives (input), or a query (query).
        weighting: Only those that weigh softly (soft), or pick (hard).
        site: Only those that can sit here: input, features, pool, skip, bottleneck or output.
        interface: Only those of this interface: refine, pool, gate, fuse, read, select or label.
        dims: Only those that take maps with so many axes of positions: 1 for signals, 2 for images, 3 for
            volumes and videos.
        families: One row for each family instead of one for each mechanism.
        markdown: Print a Markdown table, of mechanisms with maps, costs and papers.
        json: Print JSON.
    """
    if what == "models":
        _list_models(pattern, json)
        return
    wanted = {
        "over": over,
        "driven_by": driven_by,
        "weighting": weighting,
        "sites": site,
        "interface": interface,
        "dims": dims,
    }
    form = "json" if json else "markdown" if markdown else "table"
    _list_mechanisms(pattern, wanted, form, families)


def _list_mechanisms(pattern: str, wanted: dict[str, str | None], form: str, families: bool) -> None:
    from fnmatch import fnmatch

    from foveate.cli import mechanism_facts, output
    from foveate.mechanisms import mechanisms

    chosen = {
        name: cls
        for name, cls in sorted(mechanisms.items(), key=mechanism_facts.by_family)
        if fnmatch(name, pattern) and mechanism_facts.matches(cls, wanted)
    }
    if form == "json":
        output.machine([mechanism_facts.facts(name, cls) for name, cls in chosen.items()])
    elif families and form == "markdown":
        print(mechanism_facts.markdown_families(chosen))
    elif families and chosen:
        output.table(["family", "mechanisms"], mechanism_facts.families(chosen))
    elif form == "markdown":
        print(mechanism_facts.markdown_table(chosen))
    elif chosen:
        rows = [
            (
                *(name, cls.interface, ", ".join(f.over), f.driven_by, f.weighting),
                *(mechanism_facts.dims_told(cls), ", ".join(f.sites)),
            )
            for name, cls in chosen.items()
            for f in [cls.facets]
        ]
        output.table(["name", "interface", "weighs", "asks", "how", "dims", "can sit at"], rows)
    else:
        output.say("No mechanism answers all of these. Drop one of the filters.")


def _list_models(pattern: str, json: bool) -> None:
    from foveate.cli import output
    from foveate.models import list_models

    names = list_models(pattern)
    if json:
        output.machine(names)
    else:
        print("\n".join(names) if names else f'No model matches "{pattern}". Try "*{pattern.strip("*")}*".')
