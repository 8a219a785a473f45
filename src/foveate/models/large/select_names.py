"""Names of weights that a classifier by patches can be given: IPS's public code, and plain patch networks."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from foveate.models.weight_names import Rules, renamed

_IPS: Rules = (
    (r"^encoder\.0\.", "backbone.conv1."),
    (r"^encoder\.1\.", "backbone.bn1."),
    (r"^encoder\.4\.", "backbone.layer1."),
    (r"^encoder\.5\.", "backbone.layer2."),
    (r"^encoder\.6\.", "backbone.layer3."),
    (r"^encoder\.7\.", "backbone.layer4."),
    (r"^transf\.crs_attn\.q$", "choice.transformer.queries"),
    (r"^transf\.crs_attn\.q_w\.", "choice.transformer.to_query."),
    (r"^transf\.crs_attn\.k_w\.", "choice.transformer.to_key."),
    (r"^transf\.crs_attn\.v_w\.", "choice.transformer.to_value."),
    (r"^transf\.crs_attn\.fc\.", "choice.transformer.out."),
    (r"^transf\.crs_attn\.layer_norm\.", "choice.transformer.norm."),
    (r"^transf\.mlp\.w_1\.", "choice.transformer.wide."),
    (r"^transf\.mlp\.w_2\.", "choice.transformer.narrow."),
    (r"^transf\.mlp\.layer_norm\.", "choice.transformer.last_norm."),
)
_OWN = ("backbone.", "choice.", "scores.", "gate.")


def from_ips(state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of benbergner/ips under the names of a classifier by patches.

    Its heads are named by tasks; they are taken in the order of the file.
    """
    tasks = list(dict.fromkeys(name.split(".")[1] for name in state if name.startswith("output_layers.")))
    several = any(name.startswith("scores.0.") for name in own)
    heads = tuple(
        (rf"^output_layers\.{re.escape(task)}\.0\.", f"scores.{place}." if several else "scores.")
        for place, task in enumerate(tasks)
    )
    named = renamed(state, (*_IPS, *heads), own)
    query = "choice.transformer.queries"
    if query in named and named[query].ndim == 3:  # (1, T, D)
        named[query] = named[query].squeeze(0)
    return named


def from_plain(state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of a plain patch network under the names of a classifier by patches.

    Its head is taken where it fits; what else a classifier by patches has keeps its fresh weights.
    """
    if any(name.startswith(("backbone.", "choice.")) for name in state):
        return dict(state)
    kept = {f"backbone.{name}": value for name, value in state.items() if f"backbone.{name}" in own}
    rest = {name: value for name, value in state.items() if f"backbone.{name}" not in own}
    heads = [name for name in rest if name.endswith("weight")]
    if len(heads) == 1 and "scores.weight" in own:
        layer = heads[0].removesuffix("weight")
        kept |= {f"scores.{name.removeprefix(layer)}": value for name, value in rest.items()}
        rest = {}
    fresh = {name: value for name, value in own.items() if name.startswith(_OWN[1:])}
    return {**fresh, **kept, **rest}
