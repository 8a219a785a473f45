"""Captioners beside copied captions: the consensus caption of the ten training photos that look most alike.

    python -m benchmarks.nearest_captions flickr8k --study runs/captions

Photos are alike by the cosine of the mean features of the pretrained EfficientNet-Lite0. Of the captions of
the ten nearest, the one is copied that agrees most with the others: the highest mean of the F measures of
words and of pairs of words. Printed are CIDEr-D and BLEU-4 of the copies and of every model of the study, the
mean of its seeds, and the difference to the copies with its 95 % interval by a bootstrap over photos, seeds
averaged. It says how far the models are from copying on these photos; it is not corrected for their number.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

import foveate as fv
from foveate.compare.run_files import answers
from foveate.data.captions.caption_data import CaptionData
from foveate.data.captions.open_captions import open_captions
from foveate.data.feature_cache import split_features
from foveate.tasks.metrics import parse_text_metric

NEAREST, DRAWS = 10, 10_000
ENCODER = "benchmarks.lite0:pretrained"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--study", type=Path, required=True)
    options = parser.parse_args()
    data = open_captions(options.data)
    references = [list(some) for some in data.splits["test"].captions]
    copied = copies(data)
    show("copied", copied, references=references)
    metric = parse_text_metric("cider_d")
    counter = metric.prepare(references)
    theirs = metric.values(counter.records(copied))
    draws = np.random.default_rng(0).integers(0, len(theirs), (DRAWS, len(theirs)))
    runs = json.loads((options.study / "study.json").read_text(encoding="utf-8"))["runs"]
    for variant in dict.fromkeys(run["variant"] for run in runs):
        seeds = [run["seed"] for run in runs if run["variant"] == variant]
        texts = [spoken(options.study, variant, seed) for seed in seeds]
        show(variant, *texts, references=references)
        ours = np.mean([metric.values(counter.records(some)) for some in texts], axis=0)
        low, high = np.quantile((ours - theirs)[draws].mean(axis=1), (0.025, 0.975))
        print(f"    CIDEr-D {(ours - theirs).mean():+.3f} ({low:+.3f} to {high:+.3f}) against the copies")


def copies(data: CaptionData) -> list[str]:
    """Return for each test photo the consensus caption of its nearest training photos."""
    features = split_features(data.pictures, encoder=ENCODER)
    train, test = (directions(features[name][:]) for name in ("train", "test"))
    nearest = (test @ train.T).topk(NEAREST).indices
    captions = data.splits["train"].captions
    return [consensus([text for item in row for text in captions[item]]) for row in nearest.tolist()]


def directions(features: torch.Tensor) -> torch.Tensor:
    """Return the mean features (N, D) of photos (N, places, D), with length 1."""
    return torch.nn.functional.normalize(features.mean(dim=1), dim=1)


def consensus(texts: Sequence[str]) -> str:
    """Return the text that agrees most with the others."""
    grams = [
        [Counter(zip(*(words[i:] for i in range(n)), strict=False)) for n in (1, 2)]
        for words in map(split, texts)
    ]

    def agreement(one: int) -> float:
        return sum(
            agree(mine, other)
            for k, others in enumerate(grams)
            if k != one
            for mine, other in zip(grams[one], others, strict=True)
        )

    return texts[max(range(len(texts)), key=agreement)]


def agree(one: Counter[tuple[str, ...]], other: Counter[tuple[str, ...]]) -> float:
    """Return the F measure of what two texts share."""
    both = one.total() + other.total()
    return 2 * (one & other).total() / both if both else 0.0


def split(text: str) -> list[str]:
    return text.lower().split()


def spoken(study: Path, variant: str, seed: int) -> list[str]:
    """Return the captions that a run wrote for the test photos."""
    found = answers(study, variant, seed)
    if found is None:
        raise SystemExit(f"{study}: the run {variant}, seed {seed} has no answers. Run the study to its end.")
    return [str(text) for text in found[1]]


def show(name: str, *texts: Sequence[str], references: Sequence[Sequence[str]]) -> None:
    """Print the corpus scores of captions, the mean over several sets of them."""
    cider, bleu = (np.mean([fv.score(m, some, references) for some in texts]) for m in ("cider_d", "bleu_4"))
    print(f"{name}: CIDEr-D {cider:.3f}, BLEU-4 {bleu:.3f}")


if __name__ == "__main__":
    main()
