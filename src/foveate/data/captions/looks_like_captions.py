"""Whether a source is clearly pictures with captions, so that the user need not say so."""

from __future__ import annotations

from pathlib import Path

from foveate.data.captions.find_captions import find_captions, kind_of
from foveate.data.captions.read_caption_text import is_labelled_table
from foveate.data.coco.coco_files import coco_files
from foveate.errors import FoveateError, OptionError


def looks_like_captions(source: object) -> bool:
    """Return whether a source is a file of captions, or a folder with one.

    A table that has labels or masks too, or a folder with COCO's objects, may be meant for something else.
    Only names, first lines and the keys of JSON files are looked at.
    """
    if not isinstance(source, str | Path) or not str(source).strip():
        return False
    path = Path(source).expanduser()
    try:
        if path.is_file():
            return kind_of(path) is not None and not is_labelled_table(path)
        return path.is_dir() and not coco_files(path) and find_captions(path) is not None
    except OptionError:  # several files of captions
        return True
    except (OSError, ValueError, FoveateError):
        return False
