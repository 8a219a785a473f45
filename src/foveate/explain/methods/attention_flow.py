"""Attention flow: the most that can flow from the token that is read to each input token; it knows no target.

A graph has a node for each token before and after each layer, and an edge from token i behind layer l to
token j before it, with the capacity A'_l[i, j] of ``rollout``. The map is the maximum flow to each input
token, divided by their sum.

Paper   Abnar, Zuidema. Quantifying Attention Flow in Transformers. ACL 2020. arXiv:2005.00928, section 3.
Cost    One maximum flow for each token, for each image, on the CPU: refused above 64 tokens.
Differs from the paper: where a model reads the mean of its tokens, these are joined to one source.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from foveate.errors import OptionError
from foveate.explain.methods.attention_chain import AttentionMethod, Chain, Link
from foveate.explain.methods.explanation import explanations

MOST = 64  # tokens


@explanations.register("attention_flow")
@dataclass(frozen=True)
class AttentionFlow(AttentionMethod):
    """Maximum flow through the attention of all layers, for at most 64 tokens."""

    paper: ClassVar[str] = "Abnar, Zuidema 2020"
    signed: ClassVar[bool] = False

    def combine(self, chain: Chain) -> tuple[Float[Tensor, "b n"], Link]:
        """Return the flow to each token of the first layer."""
        links = chain.links
        grids = {link.grid for link in links}
        tokens = max(map(len, grids))
        if tokens > MOST or len(grids) > 1:
            several = " on several grids" if len(grids) > 1 else ""
            raise OptionError(
                f"attention_flow: got {tokens} tokens{several}, expected at most {MOST}, the same in all "
                f"layers. "
                "Use rollout, which needs one product a layer"
            )
        matrices = [link.matrix(link.weights.mean(dim=2, keepdim=True))[:, 0] for link in links]
        found = [flows([m[i] for m in matrices], row) for i, row in enumerate(chain.rows)]
        return torch.stack(found), links[0]


def flows(matrices: list[Float[Tensor, "n n"]], rows: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Return the maximum flow to each input token, divided by their sum.

    Args:
        matrices: The attention of each layer, the first one first, mean over heads.
        rows: Share of each token behind the last layer in what is read.
    """
    import networkx  # type: ignore[import-untyped]  # comes with PyTorch

    count, last = len(rows), len(matrices)
    graph = networkx.DiGraph()
    for layer, matrix in enumerate(matrices):
        joined = matrix + torch.eye(count, dtype=matrix.dtype, device=matrix.device)
        shares = (joined / joined.sum(dim=1, keepdim=True)).tolist()
        for i, row in enumerate(shares):
            graph.add_edges_from(
                ((layer + 1, i), (layer, j), {"capacity": c}) for j, c in enumerate(row) if c > 0
            )
    read = rows.nonzero().flatten().tolist()
    source: object = (last, read[0])
    if len(read) > 1:
        source = "read"
        graph.add_edges_from(("read", (last, i), {"capacity": float(rows[i])}) for i in read)
    found = rows.new_tensor([networkx.maximum_flow_value(graph, source, (0, j)) for j in range(count)])
    return found / found.sum()
