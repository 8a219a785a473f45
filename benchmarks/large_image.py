"""Segmenting a large picture in little memory: the peak of a process that does nothing else.

    python -m benchmarks.large_image

A JPEG of 6000 x 4000 pixels, and one twice as high, are segmented by a sliding window into mask, overlay and
probabilities of twelve classes. Printed is the highest resident memory of a process of its own, of which the
libraries alone take the first line. To reach: under 2 GiB, whatever the height but for the decoded file (4
bytes a pixel). Exits with 1 if it is more.
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

CLASSES = 12
ALLOWED = 2048  # MiB
SIZES = ((6000, 4000), (6000, 8000))


def alone(picture: str, model: str, window: int, threads: int) -> dict[str, float]:
    """Segment a picture, or with "" only make the network, and return what it took of this process."""
    import torch

    from foveate.data.palette import default_palette
    from foveate.models import create_model
    from foveate.segment.streamed import Wanted, segment_file
    from foveate.segment.windows import Tiling

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    network = create_model(model, classes=CLASSES).to(memory_format=torch.channels_last)
    started = time.process_time()
    if picture:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            segment_file(
                network,
                Path(picture),
                Wanted(folder / "mask.png", folder / "overlay.png", folder / "probabilities.npy"),
                classes=[f"class {number}" for number in range(CLASSES)],
                palette=default_palette(CLASSES),
                size=(window, window),
                mean=(0.5,) * 3,
                std=(0.25,) * 3,
                tiling=Tiling(window),
            )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"peak": peak, "seconds": time.process_time() - started}


def paint(path: Path, width: int, height: int) -> None:
    """Write a JPEG with some detail everywhere."""
    import numpy as np
    from PIL import Image

    small = np.random.default_rng(0).integers(0, 256, (height // 20, width // 20, 3), dtype=np.uint8)
    Image.fromarray(small).resize((width, height)).save(path, quality=85)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="unet(encoder=resnet18)")
    parser.add_argument("--window", type=int, default=512)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--alone", metavar="PICTURE", help="segment this one here, and print JSON")
    options = parser.parse_args()
    if options.alone is not None:
        print(json.dumps(alone(options.alone, options.model, options.window, options.threads)))
        return 0
    within = True
    with tempfile.TemporaryDirectory() as folder:
        for size in (None, *SIZES):
            picture = ""
            if size is not None:
                picture = f"{folder}/{size[1]}.jpg"
                paint(Path(picture), *size)
            words = ["--model", options.model, "--window", options.window, "--threads", options.threads]
            ran = subprocess.run(
                [sys.executable, "-m", "benchmarks.large_image", *map(str, words), "--alone", picture],
                check=True,
                capture_output=True,
                text=True,
            )
            found = json.loads(ran.stdout)
            what = "{} x {}".format(*size) if size else "the network alone"
            print(f"{what:<18} peak {found['peak']:6.0f} MiB  {found['seconds']:6.0f} s", flush=True)
            within &= size not in SIZES[:1] or found["peak"] < ALLOWED
    return 0 if within else 1


if __name__ == "__main__":
    sys.exit(main())
