"""Find the sites of a model: run the example once, and look for the names that hold for every model.

Each of these names is found by what flows, and names one place or several:

- ``input``: the images, before the first layer;
- ``stem``: the last map before the first block; ``stage1`` to ``stageN``: the last map of each resolution,
  down to the lowest; ``features``: all of these stages, what a classifier's or a segmenter's head gets;
- ``blocks``: behind every residual or transformer block;
- ``pool``: a classifier's map before global pooling, and the pooling itself;
- ``skip``: where a map of the encoder goes on to the decoder, on that way alone; ``skip1`` to ``skipN``: each
  of these, the finest first;
- ``bottleneck``: what a segmenter's spatial pooling layer returns, or the encoder's deepest map;
- ``output``: a classifier's scores, or a segmenter's map of scores before it is scaled up.
"""

from __future__ import annotations

from torch import nn

from foveate.insert.find.blocks import blocks_without_map, find_blocks
from foveate.insert.find.classifier_sites import find_input, find_pool, find_scores, head_of
from foveate.insert.find.encoder_decoder import find_lineage
from foveate.insert.find.flow import Flow, Place
from foveate.insert.find.follow_axes import follow_axes
from foveate.insert.find.probe import probe
from foveate.insert.find.read_layouts import entering_images, read_layouts
from foveate.insert.find.resolution_stages import find_stages, find_stem
from foveate.insert.find.segmenter_sites import find_bottleneck, find_score_map
from foveate.insert.find.skips import find_skips
from foveate.insert.find.unused_tokens import find_unused_tokens
from foveate.insert.sites import Site, Survey, site_at


def sites(model: nn.Module, example: object) -> list[Site]:
    """List where attention can sit, in the order in which the example flows through the model.

    Args:
        model: Any module; it is run once in eval mode and left as it was found.
        example: What the model takes: a tensor (B, 3, H, W), signals (B, C, L), volumes (B, C, D, H, W), a
            tuple of arguments or a dict of keyword arguments.

    Raises:
        SiteError: The model does not run on the example.

    Example:
        >>> import torch
        >>> model = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(128, 2))
        >>> [str(site) for site in sites(model, torch.rand(1, 3, 9, 9))][1:3]
        ['0 (stem): map, 8 channels, 4x4', '1 (stage1, features, pool): map, 8 channels, 4x4']
    """
    return survey(model, example).sites


def survey(model: nn.Module, example: object) -> Survey:
    """Return the sites of a model, and what is known about modules that are not sites.

    Raises:
        SiteError: The model does not run on the example.
    """
    flow = observe(model, example)
    unused = find_unused_tokens(model, example, flow, head_of(flow))
    if unused:
        flow = Flow(flow.run, flow.maps, flow.every_block, flow.lineage, unused)
    aliases = find_aliases(flow)
    hidden = blocks_without_map(flow.run, flow.maps, flow.every_block)
    reasons = {call.path: flow.maps.why_no_output(call) or "it returns several maps" for call in hidden}
    classes = {type(block.module) for block in flow.blocks}
    return Survey(
        model_name=type(model).__name__,
        paths=[path for path, _ in model.named_modules() if path],
        run=flow.run,
        maps=flow.maps,
        aliases=list(aliases),
        sites=_list_sites(flow, aliases, unused),
        unused=unused,
        left_out=dict.fromkeys(sorted(unused), "nothing reads its positions: only the class token goes on")
        | reasons,
        left_out_of_class={c.path: reasons[c.path] for c in hidden if type(c.module) in classes},
    )


def observe(model: nn.Module, example: object) -> Flow:
    """Run the model once on the example, and find its maps and blocks."""
    run = probe(model, example)
    images = entering_images(run)
    maps = read_layouts(run, images, follow_axes(run.trace, images))
    blocks = find_blocks(run, maps, find_lineage(run, maps, []))
    return Flow(run, maps, blocks, find_lineage(run, maps, blocks))


def find_aliases(flow: Flow) -> dict[str, list[Place]]:
    """Return every alias that a model has, with its places."""
    ends = find_stages(flow)
    stages = [flow.place_after(end) for end in ends]
    skips = find_skips(flow, ends)
    finest_first = sorted(skips, key=lambda place: -place.layout.positions)
    found = {
        "input": find_input(flow),
        "stem": find_stem(flow),
        **{f"stage{number}": [stage] for number, stage in enumerate(stages, start=1)},
        "features": stages,
        "blocks": [flow.place_after(block) for block in flow.blocks if flow.runs_once(block)],
        "pool": find_pool(flow),
        "skip": skips,
        **{f"skip{number}": [place] for number, place in enumerate(finest_first, start=1)},
        "bottleneck": find_bottleneck(flow, ends),
        "output": find_scores(flow) if flow.classifies else find_score_map(flow),
    }
    return {alias: places for alias, places in found.items() if places}


def _list_sites(flow: Flow, aliases: dict[str, list[Place]], unused: frozenset[str]) -> list[Site]:
    """Return the aliased places and, besides, every module that makes a map and runs once."""
    places: dict[tuple[object, ...], tuple[Place, list[str]]] = {}
    for alias, found in aliases.items():
        for place in found:
            places.setdefault(_identity(place), (place, []))[1].append(alias)
    for call in flow.calls:
        layout = flow.maps.output(call)
        if call.path and layout is not None and flow.runs_once(call) and call.path not in unused:
            place = Place(call.path, "after", layout)
            places.setdefault(_identity(place), (place, []))

    def order(site: Site) -> tuple[int, str]:
        call = flow.run.calls[site.path]
        return (call.started if site.where == "before" else call.ended), site.kind

    return sorted((site_at(place, names) for place, names in places.values()), key=order)


def _identity(place: Place) -> tuple[object, ...]:
    """Return what distinguishes one place from all others."""
    layout, source = place.layout, place.source if place.role == "map" else None
    return place.path, place.where, place.role, place.argument, layout.first, layout.within, source
