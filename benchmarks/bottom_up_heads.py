"""The bottom-up head on a frozen pretrained network, part by part, against global average pooling.

    python -m benchmarks.bottom_up_heads cifar10 chest_xray --data DIR [--seeds 5] [--epochs 12]

The last three maps of an EfficientNet-Lite0 with ImageNet's weights are computed once; then every head is
trained on them with the same seeds and the same order of images. Printed are, for each head: its parameters,
the accuracy on the test images in points, and the difference to global average pooling with its verdict, over
seeds and test images, the intervals together at 95 %. DIR holds the folders of the data sets.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import cross_entropy

from foveate.compare.statistics.crossed_effects import components
from foveate.compare.statistics.difference import describe
from foveate.compare.statistics.verdict import Terms, judge
from foveate.models import create_model, model_normalisation
from foveate.models.classification.bottom_up import BottomUp

BACKBONE = "timm/tf_efficientnet_lite0"
BASELINE = "levels=none, layers=1"
HEADS = (
    BASELINE,
    "region_attention=false, level_attention=false, statistic=mean, layers=1",
    "region_attention=false, level_attention=false, layers=1",
    "level_attention=false, layers=1",
    "region_attention=false, layers=1",
    "layers=1",
    "concatenate=true, layers=1",
    "levels=none, layer_attention=equal",
    "levels=none",
    "layer_attention=static",
)
BATCH, LR, DECAY = 64, 1e-3, 0.05
ALPHA = 0.05  # of all comparisons of a data set together


@dataclass(frozen=True)
class Case:
    """A data set.

    Args:
        size: Side that the images are brought to, in pixels.
        levels: Of the pyramid: as fine as the last map.
        train: The first so many training images of each class, by file name.
        test: The same of the test images.
    """

    size: int
    levels: tuple[int, ...]
    train: int
    test: int


CASES = {"cifar10": Case(96, (1, 2, 3), 150, 300), "chest_xray": Case(160, (1, 2, 3), 500, 200)}


def main() -> None:
    """Measure the heads on the data sets that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("cases", nargs="*", default=list(CASES))
    parser.add_argument("--data", type=Path, default=Path())
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--margin", type=float, default=1.0, help="points")
    options = parser.parse_args()
    if missing := [name for name in options.cases if name not in CASES or not (options.data / name).is_dir()]:
        sys.exit(
            f"{options.data} does not hold {', '.join(missing)}. Pass --data DIR, of {', '.join(CASES)}."
        )
    torch.set_num_threads(1)
    for name in options.cases:
        began = time.process_time()
        study(name, options.data / name, options.seeds, options.epochs, options.margin)
        print(f"{name}: {(time.process_time() - began) / 60:.1f} minutes of one core", flush=True)


def study(name: str, folder: Path, seeds: int, epochs: int, margin: float) -> None:
    """Train every head with every seed on one data set, and print the table."""
    case = CASES[name]
    classes = sorted(path.name for path in (folder / "train").iterdir())
    train, test = (stored(folder / split, classes, case) for split in ("train", "test"))
    print(
        f"{name}: {len(classes)} classes, {len(train[1])} images to train on, {len(test[1])} to test",
        flush=True,
    )
    right: dict[str, np.ndarray] = {}
    for head in HEADS:
        model = built(head, case, len(classes))
        scores = [judged(head, case, len(classes), train, test, seed, epochs) for seed in range(seeds)]
        right[head] = 100.0 * np.stack(scores)
        count = sum(p.numel() for n, p in model.named_parameters() if not n.startswith("encoder."))
        line = f"| `{head}` | {count:,} | {right[head].mean():.2f} |"
        if head != BASELINE:
            found = components(right[head] - right[BASELINE], span=100.0)
            pair, level = (right[head], right[BASELINE]), 1 - ALPHA / (len(HEADS) - 1)
            d = describe(found, pair, level, margin=margin, alpha=ALPHA)
            line += (
                f" {d.mean:+.2f} ({d.low:+.2f} to {d.high:+.2f}) | {judge(d, Terms(margin=margin)).name} |"
            )
        print(line, flush=True)


def built(head: str, case: Case, classes: int, *, pretrained: bool = False) -> BottomUp:
    """Return a classifier with this head."""
    levels = "" if "levels=none" in head else f"levels={case.levels}, "
    name = f"bottom_up(backbone={BACKBONE}, {levels}{head})"
    model = create_model(name, classes=classes, pretrained=pretrained)
    assert isinstance(model, BottomUp)
    return model


@torch.no_grad()
def stored(folder: Path, classes: list[str], case: Case) -> tuple[list[Tensor], Tensor]:
    """Return the last three maps of the first images of each class, and the numbers of the classes."""
    model = built("layer_attention=static", case, len(classes), pretrained=True).eval()
    mean, std = (torch.tensor(values)[:, None, None] for values in model_normalisation(model))
    kept: list[list[Tensor]] = [[], [], []]
    targets = []
    for number, name in enumerate(classes):
        files = sorted((folder / name).iterdir())[: case.train if folder.name == "train" else case.test]
        targets += [number] * len(files)
        for first in range(0, len(files), 50):
            batch = torch.stack([pixels(file, case.size) for file in files[first : first + 50]])
            for found, y in zip(kept, model.encoder((batch - mean) / std), strict=True):
                found.append(y)
    return [torch.cat(found) for found in kept], torch.tensor(targets)


def pixels(file: Path, size: int) -> Tensor:
    """Return an image (3, size, size) in [0, 1]."""
    with Image.open(file) as image:
        found = np.asarray(image.convert("RGB").resize((size, size), Image.Resampling.BICUBIC), np.float32)
    return torch.from_numpy(found / 255).permute(2, 0, 1)


def judged(
    head: str,
    case: Case,
    classes: int,
    train: tuple[list[Tensor], Tensor],
    test: tuple[list[Tensor], Tensor],
    seed: int,
    epochs: int,
) -> np.ndarray:
    """Train a head on stored maps; return 1 for each test image that it tells rightly, else 0."""
    torch.manual_seed(seed)
    model = built(head, case, classes)
    own = [p for n, p in model.named_parameters() if not n.startswith("encoder.")]
    optimizer = torch.optim.AdamW(own, lr=LR, weight_decay=DECAY)
    maps, targets = train
    used = slice(len(maps) - len(model.pools), None)
    order, steps = torch.Generator().manual_seed(seed), epochs * (len(targets) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LR, total_steps=steps, pct_start=0.05)
    for _ in range(epochs):
        for rows in torch.randperm(len(targets), generator=order).split(BATCH)[: len(targets) // BATCH]:
            loss = cross_entropy(model.classify([y[rows] for y in maps[used]]), targets[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    with torch.no_grad():
        logits = model.eval().classify(test[0][used])
    return (logits.argmax(dim=1) == test[1]).double().numpy()


if __name__ == "__main__":
    main()
