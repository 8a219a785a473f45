"""Which methods of explanation tell the truth, on scenes, whose truth is planted, and on photographs.

    python -m benchmarks.judged_maps --out runs/judged
    python -m benchmarks.judged_maps --photographs ecssd

On scenes three networks are trained first (``resnet8``, ``resnet8`` with ``cbam@blocks``, and a small ViT on
simpler scenes), each to classify the digit with the red mark; where the evidence is, is known. Photographs
are ECSSD's, with the pretrained EfficientNet-Lite0 of ``benchmarks.lite0``; their masks say where the salient
object is, which need not be what the network uses.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import foveate as fv
from foveate.data.judged_pictures import judged_pictures
from foveate.data.prepare_pictures import batch_of
from foveate.explain.judging.judgement import Judgement
from foveate.infer.find_model import FoundModel, find_model
from foveate.recipe import TrainConfig

DATA = "scenes(size=32, train=2000, val=0, test=500)"
VIT = "timm/vit_tiny_patch16_224(img_size=32, patch_size=4, embed_dim=64, depth=3, num_heads=4)"
SIMPLER = "scenes(size=32, classes=2, distractors=1, strokes=2, train=4000, val=0, test=400)"
NETWORKS: dict[str, tuple[str, dict[str, Any]]] = {
    "resnet8": (DATA, {"model": "resnet8", "epochs": 12}),
    "resnet8 with cbam@blocks": (DATA, {"model": "resnet8", "attention": "cbam@blocks", "epochs": 8}),
    "vit": (
        SIMPLER,
        {"model": VIT, "epochs": 14, "train": TrainConfig(lr=1e-3, batch_size=32, augment="none")},
    ),
}
OF_LAYERS = ["grad_cam", "grad_cam_pp", "hires_cam", "layer_cam", "x_grad_cam", "eigen_cam", "score_cam"]
OF_PIXELS = ["saliency", "integrated_gradients", "smooth_grad", "occlusion", "rise(masks=200)"]
OF_ATTENTION = ["raw_attention", "rollout", "generic_attention", "attention_grad_cam"]
METRICS = ["deletion(steps=10)", "insertion(steps=10)", "pointing(tolerance=1)", "energy"]
BEATEN = ("smooth_random", "centre", "edges")


def main() -> None:
    reader = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    reader.add_argument("--out", type=Path, default=Path("runs/judged"))
    reader.add_argument("--images", type=int, default=100)
    reader.add_argument("--photographs", help="folder of pictures and masks; instead of scenes")
    reader.add_argument("--only", action="append", choices=[*NETWORKS], help="one of the networks")
    words = reader.parse_args()
    if words.photographs:
        found = find_model("benchmarks.lite0:pretrained")
        metrics = ["pointing(tolerance=7)", "energy"]
        show(
            "EfficientNet-Lite0",
            found,
            words.photographs,
            [*OF_LAYERS[:6], "saliency"],
            words.images,
            metrics,
        )
        return
    for name in words.only or NETWORKS:
        data, options = NETWORKS[name]
        folder = words.out / name.replace(" ", "_")
        if not (folder / "config.json").is_file():
            trained = fv.train(data, out=folder, **options)
            print(f"{name}: accuracy {trained.value:.3f}")
        methods = [*OF_LAYERS, *OF_PIXELS, *(OF_ATTENTION if name == "vit" else [])]
        methods += ["mechanism"] if "attention" in options else []
        show(name, find_model(folder), data, methods, words.images, mark=True)


def show(
    name: str,
    found: FoundModel,
    data: str,
    methods: list[str],
    images: int,
    metrics: list[str] = METRICS,
    *,
    mark: bool = False,
) -> None:
    """Judge and print one table."""
    pictures = judged_pictures([data], found.form, classes=found.classes, most=images)
    x = batch_of([*pictures.pixels], found.form)
    maps: dict[str, Any] = {one.partition("(")[0]: one for one in methods}
    if mark:
        maps["colour of the mark"] = redness
    start = time.process_time()
    judgement = fv.judge(
        found.model,
        x,
        maps,
        metrics,
        pictures.where,
        labels=None if pictures.labels is None else pictures.labels.tolist(),
        normalisation=(found.form.mean, found.form.std),
    )
    print(f"\n{name}: {len(x)} pictures, {time.process_time() - start:.0f} s of one core\n")
    table(judgement)


def redness(_model: nn.Module, images: Tensor, _target: object) -> Tensor:
    """Return red minus the mean of the other channels: what finds the mark without any network."""
    return images[:, 0] - images[:, 1:].mean(dim=1)


def table(judgement: Judgement) -> None:
    """Print the scores, and by which of the metrics with a mask a map beats what knows nothing."""
    by = [metric for metric in judgement if judgement.metrics[metric].about == "localisation"]
    print("| map |", " | ".join(judgement), "|", " | ".join(f"beats {than}" for than in BEATEN), "|")
    print("| --- |" + " --- |" * (len(judgement) + len(BEATEN)))
    for name in (*judgement.maps, *judgement.baselines):
        cells = [f"{judgement[metric, name].mean:.3f}" for metric in judgement]
        for than in BEATEN:
            answers = [one for metric in by for one in judgement.beats(than, metric) if one.map == name]
            cells.append(", ".join(one.answer for one in answers))
        print(f"| {name} |", " | ".join(cells), "|")
    print("\n" + "\n".join(judgement.notes()))


if __name__ == "__main__":
    torch.manual_seed(0)
    main()
