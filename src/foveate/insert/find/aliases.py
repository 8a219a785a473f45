"""The names that hold for every model; each is found by what flows, and stands for one place or several.

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

from foveate.insert.find.classifier_sites import find_input, find_pool, find_scores
from foveate.insert.find.flow import Flow, Place
from foveate.insert.find.resolution_stages import find_stages, find_stem
from foveate.insert.find.segmenter_sites import find_bottleneck, find_score_map
from foveate.insert.find.skips import find_skips

# What to say of a name that a model lacks.
ABSENT = {
    "skip": "No map of an encoder meets one that was made through a deeper one",
    "stem": "The first block takes the images themselves",
    "pool": "Only a classifier pools its map to one vector",
    "bottleneck": "Only a model that returns a map of scores has a bottleneck",
    "blocks": "No residual or transformer block was found",
}


def find_aliases(flow: Flow) -> dict[str, list[Place]]:
    """Return every alias that a model has, with its places."""
    found = {"input": find_input(flow), "stem": find_stem(flow)}
    stages = [flow.behind(stage) for stage in find_stages(flow)]
    found |= {f"stage{number}": [stage] for number, stage in enumerate(stages, start=1)}
    found["features"] = stages
    found["blocks"] = [flow.behind(block) for block in flow.blocks if flow.once(block)]
    found["pool"] = find_pool(flow)
    found["skip"] = skips = find_skips(flow)
    finest = sorted(skips, key=lambda place: -place.layout.positions)
    found |= {f"skip{number}": [place] for number, place in enumerate(finest, start=1)}
    found["bottleneck"] = find_bottleneck(flow)
    found["output"] = find_scores(flow) if flow.classifies else find_score_map(flow)
    return {alias: places for alias, places in found.items() if places}
