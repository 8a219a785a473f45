"""Whether a source is clearly questions about pictures, so that the user need not say so."""

from __future__ import annotations

from pathlib import Path

from foveate.data.questions.find_questions import find_questions, kind_of
from foveate.errors import FoveateError, OptionError


def looks_like_questions(source: object) -> bool:
    """Return whether a source is a file of questions with answers, or a folder with one.

    Only names, first lines and the keys of JSON files are looked at.
    """
    if not isinstance(source, str | Path) or not str(source).strip():
        return False
    path = Path(source).expanduser()
    try:
        if path.is_file():
            return kind_of(path) not in (None, "annotations")
        return path.is_dir() and find_questions(path) is not None
    except OptionError:  # several files of questions
        return True
    except (OSError, ValueError, FoveateError):
        return False
