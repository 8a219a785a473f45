"""What insertion does to a pretrained network before any training: top-1 on 500 ImageNet pictures.

    python -m benchmarks.pretrained

The network is EfficientNet-Lite0 with its real weights. Each spec is inserted twice: as the papers' own start
has it, and with a gate that starts closed. The pictures are read from ``imagenet_samples.tar`` in
``$FOVEATE_DATA`` (by default ``../shared/data``), decoded once and kept in memory.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import tarfile
import time
from pathlib import Path

import torch
from benchmarks.lite0 import pretrained
from PIL import Image
from torch import Tensor, nn
from torchvision.transforms import v2

from foveate.insert.surgery import Start, insert

MECHANISMS = ("se", "eca", "cbam", "dual")
STAGES = ("stage2", "stage3", "stage4", "stage5")
DEEP_BLOCKS = (
    "blocks.[3-6].*"  # at 14x14 and 7x7; the maps before them are too large for attention over pairs
)


def specs() -> list[str]:
    """Return every spec: behind one stage, behind four, and in blocks."""
    found = []
    for name in MECHANISMS:
        blocks = DEEP_BLOCKS if name == "dual" else "blocks"
        found += [f"{name}@stage4", "+".join(f"{name}@{stage}" for stage in STAGES), f"{name}@{blocks}"]
    return found


def pictures(folder: Path, limit: int) -> tuple[Tensor, Tensor]:
    """Return the pictures (N, 3, 224, 224), normalised, and their classes (N,)."""
    classes = {
        entry["synset"]: entry["index"]
        for entry in json.loads((folder / "imagenet_classes.json").read_text())
    }
    prepare = v2.Compose(
        [
            v2.Resize(256, interpolation=v2.InterpolationMode.BICUBIC, antialias=True),
            v2.CenterCrop(224),
            v2.PILToTensor(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize([0.5] * 3, [0.5] * 3),
        ]
    )
    images, targets = [], []
    with tarfile.open(folder / "imagenet_samples.tar") as archive:
        members = [member for member in archive if member.name.endswith(".JPEG")][:limit]
        for member in members:
            file = archive.extractfile(member)
            if file is None:
                continue
            images.append(prepare(Image.open(io.BytesIO(file.read())).convert("RGB")))
            targets.append(classes[Path(member.name).name.partition("_")[0]])
    return torch.stack(images), torch.tensor(targets)


@torch.inference_mode()
def top1(model: nn.Module, images: Tensor, targets: Tensor, batch_size: int) -> float:
    """Return the share of pictures, in percent, whose highest logit is that of their class."""
    model = model.eval().to(memory_format=torch.channels_last)
    right = 0
    for chosen, wanted in zip(images.split(batch_size), targets.split(batch_size), strict=True):
        right += int((model(chosen.contiguous(memory_format=torch.channels_last)).argmax(1) == wanted).sum())
    return 100 * right / len(targets)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=os.environ.get("FOVEATE_DATA", "../shared/data"))
    parser.add_argument("--pictures", type=int, default=500)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    started = time.perf_counter()
    if not (options.data / "imagenet_samples.tar").exists():
        print(f"{options.data} has no imagenet_samples.tar: set FOVEATE_DATA. Nothing was measured.")
        return
    images, targets = pictures(options.data, options.pictures)
    plain = pretrained()
    before = top1(plain, images, targets, 50)
    print(f"top-1 of tf_efficientnet_lite0 on {len(targets)} pictures: {before:.1f} %\n", flush=True)
    print(f"{'spec':<50} {'paper start':>12} {'ours':>8}")
    for spec in specs():
        scores = []
        starts: tuple[Start, ...] = ("paper", "identity")
        for start in starts:
            model = insert(plain, spec, example=images[:1], start=start)
            scores.append(top1(model, images, targets, 10 if "dual" in spec else 50))
        print(f"{spec:<50} {scores[0]:>10.1f} % {scores[1]:>6.1f} %", flush=True)
    print(f"\n{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
