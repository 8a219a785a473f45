"""One group per place in a patch: MobileViT attends among the pixels at the same place of all patches."""

from __future__ import annotations

from foveate.explain.geometry.places import Places, numbered, on_picture
from foveate.explain.geometry.windows import cut


def pixel_places(
    height: int, width: int, patch: tuple[int, int], reach: tuple[float, float] = (1, 1)
) -> Places:
    """Return the places of patches, by row; one group per place inside a patch, by row.

    Args:
        height: Rows of the map, a multiple of those of a patch.
        width: Columns of the map, a multiple of those of a patch.
        patch: Rows and columns of a patch.
        reach: See ``Places``.

    Example:
        >>> pixel_places(8, 8, (2, 2)).cells[1, :4, 0].tolist()
        [1, 3, 5, 7]
    """
    return on_picture(cut(numbered(height, width), patch).T, height, width, reach=reach)
