"""Reading a picture of a gigapixel in little memory: the peak of a process that does nothing else.

    python -m benchmarks.gigapixel

Scenes of 4000, 15,000 and 31,623 pixels a side are written as tiled TIFFs without a pyramid. Of each, a
process of its own makes the overview (1000 pixels a side) and reads ten windows of 256 pixels. Printed are
the processor time of both, and the highest resident memory; the libraries alone take the first line. To
reach: under 1 GiB, whatever the size. Exits with 1 if it is more.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ALLOWED = 1024  # MiB
SIDES = (4000, 15_000, 31_623)


def alone(picture: str) -> dict[str, float]:
    """Read a picture, or with "" only import what reads it, and return what it took of this process."""
    import torch

    from foveate.data.large.open_large import open_large
    from foveate.data.large.read_pictures import ReadPictures

    seconds = {"overview": 0.0, "windows": 0.0}
    if picture:
        pictures = ReadPictures([lambda: open_large(Path(picture))])
        (side, _), started = pictures.sizes[0], time.process_time()
        pictures.overview(1000 / side)
        seconds["overview"] = time.process_time() - started
        places = torch.linspace(-100, side - 100, 10).long()
        started = time.process_time()
        pictures.windows(torch.stack([places, places], dim=1)[None], (256, 256))
        seconds["windows"] = time.process_time() - started
    return {"peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, **seconds}


def write(folder: Path, side: int) -> Path:
    """Write a scene as a tiled TIFF."""
    from foveate.data.megapixel.open_megapixel import megapixel
    from foveate.data.megapixel.write_megapixel import write_scene

    path = folder / f"{side}.tif"
    write_scene(path, megapixel(size=side, train=1, test=1).splits["train"], 0)
    return path


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--alone", help=argparse.SUPPRESS)
    parser.add_argument("--sides", type=int, nargs="+", default=SIDES, help="pixels a side")
    asked = parser.parse_args()
    if asked.alone is not None:
        print(json.dumps(alone(asked.alone)))
        return 0
    highest = 0.0
    with tempfile.TemporaryDirectory() as name:
        for side in (0, *asked.sides):
            picture = str(write(Path(name), side)) if side else ""
            command = [sys.executable, "-m", "benchmarks.gigapixel", "--alone", picture]
            run = subprocess.run(command, capture_output=True, text=True, check=True)
            found = json.loads(run.stdout)
            highest = max(highest, found["peak"])
            what = f"{side:,} pixels a side" if side else "the libraries alone"
            print(
                f"{what}: peak {found['peak']:.0f} MiB, overview {found['overview']:.1f} s, "
                f"ten windows {found['windows']:.3f} s",
                flush=True,
            )
    return int(highest > ALLOWED)


if __name__ == "__main__":
    sys.exit(main())
