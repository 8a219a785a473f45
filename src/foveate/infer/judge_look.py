"""The maps that a look has drawn, judged on the same pictures."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from foveate.errors import OptionError
from foveate.explain.judging.judge import judge
from foveate.explain.judging.judgement import Judgement
from foveate.infer.find_model import FoundModel
from foveate.infer.seen import Seen


def judge_look(
    found: FoundModel, batch: Float[Tensor, "b 3 h w"], pictures: Sequence[Seen], target: object = None
) -> Judgement:
    """Return what deletion and insertion say about every map that all of the pictures have.

    Places that a map says nothing about, such as a border without a patch, count as its lowest ones. The
    intervals are over the pictures, so a single one has none.

    Args:
        found: The model.
        batch: The pictures as the model takes them.
        pictures: The same, with their maps.
        target: What the maps explain; see ``fv.explain``.

    Raises:
        OptionError: No map is there for all of the pictures.
        ShapeError: The model does not answer with a probability of what the maps explain.
    """
    names = [name for name in pictures[0].maps if all(name in seen.maps for seen in pictures)]
    if not names:
        raise OptionError("judge: there is no map that all of the pictures have. Look with another method.")
    size = (batch.shape[-2], batch.shape[-1])
    maps = {name: torch.stack([_on_picture(seen.maps[name], size) for seen in pictures]) for name in names}
    form = found.form
    return judge(
        found.model,
        batch,
        {name: one.to(batch.device) for name, one in maps.items()},
        target=target,
        normalisation=(form.mean, form.std),
    )


def _on_picture(values: object, size: tuple[int, int]) -> Float[Tensor, "h w"]:
    """Return a map on the grid of its picture, without gaps."""
    whole = torch.as_tensor(values).float()
    if whole.isfinite().any():
        whole = torch.nan_to_num(whole, nan=float(whole[whole.isfinite()].min()))
    if tuple(whole.shape) == size:
        return whole
    return F.interpolate(whole[None, None], size=size, mode="bilinear", align_corners=False)[0, 0]
