"""The names that hold for every model: input, stem, stageN, blocks, pool, skip, bottleneck, output.

Each is found by what flows through the model on the example, and stands for one place or several.
"""

from __future__ import annotations

from foveate.insert.dense import find_bottleneck, find_score_map, find_skips
from foveate.insert.ends import find_input, find_pool, find_scores
from foveate.insert.flow import Flow, Place
from foveate.insert.stages import find_stages, find_stem


def find_aliases(flow: Flow) -> dict[str, list[Place]]:
    """Return every alias that a model has, with its places."""
    found = {"input": find_input(flow), "stem": find_stem(flow)}
    for number, stage in enumerate(find_stages(flow), start=1):
        found[f"stage{number}"] = [flow.behind(stage)]
    found["blocks"] = [flow.behind(block) for block in flow.blocks if flow.once(block)]
    found["pool"] = find_pool(flow)
    found["skip"] = find_skips(flow)
    found["bottleneck"] = find_bottleneck(flow)
    found["output"] = find_scores(flow) if flow.classifies else find_score_map(flow)
    return {alias: places for alias, places in found.items() if places}
