"""Find out what the masks of a folder mean: one file each, several files each, or outlines in text files."""

from __future__ import annotations

import numpy as np
from jaxtyping import UInt8

from foveate.data.masks.class_table import class_names
from foveate.data.masks.code import Code
from foveate.data.masks.infer_code import MaskOptions, infer_code
from foveate.data.masks.layers import are_layers, infer_layers
from foveate.data.masks.layout import Pairs
from foveate.data.masks.outlines import infer_outlines
from foveate.data.masks.scan_masks import LOOKED_AT, spread
from foveate.errors import OptionError


def infer_from_pairs(
    found: Pairs, options: MaskOptions
) -> tuple[Code, UInt8[np.ndarray, "k 3"] | None, tuple[str, ...]]:
    """Return what the masks of a folder mean, colours of the classes if they come with any, and notes.

    Args:
        found: Images with their masks.
        options: What the user says.

    Raises:
        DataError: a mask cannot be read, or it cannot be told what it means.
        OptionError: the options contradict each other, or are for other masks.
    """
    files = [file for pair in found.pairs for file in pair.masks]
    several = any(len(pair.masks) > 1 for pair in found.pairs)
    if found.outlined:
        _only_names(options, "masks from outlines")
        names = None if options.classes is None else class_names(options.classes)
        outlines, note = infer_outlines(found.root, files, names)
        return outlines, None, (note,)
    if found.pairs[0].labels and (several or are_layers(spread(files, LOOKED_AT))):
        _only_names(options, "masks in several files", "threshold")
        layers, note = infer_layers(found.pairs, _names(options), options.threshold)
        return layers, None, (note,)
    single = infer_code(found.root, files, options)
    return single.code, single.palette, single.notes


def _names(options: MaskOptions) -> tuple[str, ...] | None:
    """Return class names, unless only their number is given."""
    given = options.classes
    return None if given is None or isinstance(given, int) else class_names(given)


def _only_names(options: MaskOptions, what: str, *also: str) -> None:
    for name, value in vars(options).items():
        if value is not None and name not in ("classes", *also):
            raise OptionError(f"{name}= does not apply to {what}. Leave it out.")
