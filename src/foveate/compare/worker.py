"""A process that works on a study until it is done: ``python -m foveate.compare.worker FOLDER``."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import torch

from foveate.compare.engine import local
from foveate.compare.store import Store
from foveate.errors import FoveateError, shown


def main(folder: str) -> int:
    """Work on the study in a folder; return the exit code."""
    logging.basicConfig(format="%(message)s")
    logging.getLogger("foveate").setLevel(logging.ERROR)  # the process that started it logs the rest
    try:
        threads = Store(Path(folder)).plan().threads
        if threads is not None:  # on which the last bits depend
            torch.set_num_threads(threads)
        local(Path(folder))
    except FoveateError as error:
        print(shown(str(error)), file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
