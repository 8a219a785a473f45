"""``python -m foveate`` is the command ``foveate``."""

import sys

from foveate.cli.__main__ import main

if __name__ == "__main__":
    sys.exit(main())
