"""``foveate list``: mechanisms by their facets; models, tasks, metrics, losses and explanations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from foveate.cli.catalogue import Facts

EXAMPLE = """
    $ foveate list --interface gate
    name             interface  weighs     asks   how   dims     can sit at
    ────────────────────────────────────────────────────────────────────────
    attention_gate   gate       positions  query  soft  1, 2, 3  skip
    global_upsample  gate       channels   query  soft  1, 2, 3  skip
"""


def list_(
    what: Literal["mechanisms", "models", "tasks", "metrics", "losses", "explanations"] = "mechanisms",
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
    """List the mechanisms, all or those with given facets; or models, tasks, metrics, losses or explanations.

    Args:
        what: mechanisms, models, tasks, metrics, losses or explanations.
        pattern: Only names that match, such as "resnet*".
        over: Only mechanisms that weigh this: channels, positions, heads, scales, branches, layers, steps,
            classes or patches.
        driven_by: Only those that the input itself drives (input), or a query (query).
        weighting: Only those with soft weights (soft), or that select (hard).
        site: Only those that can sit here: input, features, pool, skip, bottleneck or output.
        interface: Only those of this interface: refine, pool, gate, fuse, read, select or label.
        dims: Only those that take maps with this many axes of positions: 1 for signals, 2 for images, 3 for
            volumes and videos.
        families: One row for each family instead of one for each mechanism.
        markdown: Print a Markdown table, of mechanisms with maps, costs and papers.
        json: Print JSON.
    """
    if what == "models":
        _list_models(pattern, json)
        return
    if what == "explanations":
        _list_explanations(pattern, json)
        return
    if what != "mechanisms":
        _list_tasks(what, pattern, json)
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

    from foveate.cli import output
    from foveate.cli.catalogue import catalogue, matches

    known = catalogue()
    chosen = {
        name: facts
        for name, facts in known["mechanisms"].items()
        if fnmatch(name, pattern) and matches(facts, wanted, known["values"])
    }
    if form == "json" or (form == "markdown" and not families):
        _tell_all(list(chosen), form)
    elif families and form == "markdown":
        print(markdown_families(_by_family(chosen)))
    elif families and chosen:
        rows = [(family, ", ".join(names)) for family, names in _by_family(chosen).items()]
        output.table(["family", "mechanisms"], rows)
    elif chosen:
        table = [
            (
                *(name, facts["interface"], ", ".join(facts["over"]), facts["driven_by"], facts["weighting"]),
                *(", ".join(facts["dims"]) or "tokens", ", ".join(facts["sites"])),
            )
            for name, facts in chosen.items()
        ]
        output.table(["name", "interface", "weighs", "asks", "how", "dims", "can sit at"], table)
    else:
        output.say("No mechanism matches all filters. Drop one of them.")


def _tell_all(names: list[str], form: str) -> None:
    """Print all that is known about some mechanisms; this imports their code."""
    from foveate.cli import mechanism_facts, output
    from foveate.mechanisms import mechanisms

    chosen = {name: mechanisms[name] for name in names}
    if form == "json":
        output.machine([mechanism_facts.facts(name, cls) for name, cls in chosen.items()])
    else:
        print(mechanism_facts.markdown_table(chosen))


def _by_family(chosen: Mapping[str, Facts]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, facts in chosen.items():
        found.setdefault(facts["family"], []).append(name)
    return found


def markdown_families(names: Mapping[str, list[str]]) -> str:
    """Return the README's table: a row for each family, every name a link to its page."""
    from importlib import import_module

    lines = ["| family | what it does | mechanisms |", "| --- | --- | --- |"]
    for family, members in names.items():
        what = (import_module(f"foveate.mechanisms.{family}").__doc__ or "").strip().rstrip(".")
        links = ", ".join(f"[`{name}`](docs/mechanisms/{name}.md)" for name in members)
        lines.append(f"| {family} | {what} | {links} |")
    return "\n".join(lines)


def _list_models(pattern: str, json: bool) -> None:
    from foveate.cli import output
    from foveate.cli.catalogue import catalogue
    from foveate.model_names import matching

    names = matching(pattern, catalogue()["models"])
    if json:
        output.machine(names)
    else:
        print("\n".join(names) if names else f'No model matches "{pattern}". Try "*{pattern.strip("*")}*".')


def _list_explanations(pattern: str, json: bool) -> None:
    """Print the methods of ``fv.explain``: what each is made from, and its options."""
    from fnmatch import fnmatch

    from foveate.cli import output
    from foveate.explain.methods import explanations
    from foveate.spelling import options_of

    found = {name: method for name, method in explanations.items() if fnmatch(name, pattern)}
    if json:
        output.machine(
            [
                {
                    "name": name,
                    "reads": m.reads,
                    "signed": m.signed,
                    "paper": m.paper,
                    "options": options_of(m),
                }
                for name, m in found.items()
            ]
        )
        return
    rows = [
        (name, m.reads, ", ".join(f"{option}={value}" for option, value in options_of(m).items()))
        for name, m in sorted(found.items(), key=lambda entry: (entry[1].reads, entry[0]))
    ]
    output.table(["name", "made from", "options"], rows)


def _list_tasks(what: str, pattern: str, json: bool) -> None:
    """Print the tasks, or the metrics or losses of each task."""
    from fnmatch import fnmatch

    from foveate.cli import output
    from foveate.tasks.base import tasks

    named = {"metrics": "metric_names", "losses": "loss_names"}.get(what)
    found = {
        name: [(task.__doc__ or "").split("\n")[0].split(";")[0].rstrip(".")]
        if named is None
        else [entry for entry in getattr(task, named)() if fnmatch(entry, pattern)]
        for name, task in tasks.items()
        if named is not None or fnmatch(name, pattern)
    }
    if json:
        output.machine(found)
    else:
        rows = [(name, ", ".join(entries)) for name, entries in found.items()]
        output.table(["task", what if named else "what is learnt"], rows)
