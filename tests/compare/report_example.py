"""A study as `study.json` holds it, made up but plausible, with names that try to be HTML."""

from __future__ import annotations

import base64
import copy
import io
import math
import random
import re

import numpy as np
from PIL import Image, ImageDraw

from foveate.tasks.cards.overlay import data_uri, layer
from foveate.tasks.confusion_matrix import confusion_data

EVIL = "<script>alert(1)</script>"
QUOTES = """he said "5 > 3" & it's 'so'"""
CJK = "飞机 (airplane)"
CLASSES = [CJK, "automobile", "bird", "cat", "deer", EVIL, "frog", "horse", QUOTES, "truck"]
SEEDS = [0, 1, 2]
EPOCHS = 12
ITEMS = 2000

# name, spec, role, verdict, words, as attention, difference (mean, low, high), parameters, MACs, latency
_ROWS = [
    (
        "baseline",
        None,
        "baseline",
        "baseline",
        "What the others are compared with.",
        None,
        None,
        78_042,
        12_540_000,
        2.91,
    ),
    (
        "se@blocks",
        "se@blocks",
        "variant",
        "helps",
        "Better than baseline: +1.42 points (+0.31 to +2.53), though perhaps by little.",
        "Helps as attention: against the control of equal cost +1.30 points (+0.11 to +2.49).",
        (1.42, 0.31, 2.53),
        79_871,
        12_541_800,
        3.42,
    ),
    (
        "eca(kernel=5)@stage3",
        "eca(kernel=5)@stage3",
        "variant",
        "not yet known",
        "Not yet known against baseline: +0.38 points (−0.71 to +1.47); 9 more seeds would tell.",
        None,
        (0.38, -0.71, 1.47),
        78_047,
        12_540_320,
        3.05,
    ),
    (
        f"cbam@stage3 {EVIL}",
        "cbam(reduction=8,kernel=7)@stage3",
        "variant",
        "hurts",
        "Worse than baseline: −1.95 points (−3.20 to −0.70).",
        None,
        (-1.95, -3.20, -0.70),
        78_670,
        12_566_000,
        3.36,
    ),
    (
        "coordinate@stage1",
        "coordinate@stage1",
        "variant",
        "no difference worth having",
        "As good as baseline: −0.03 points (−0.45 to +0.39), inside the 0.5 points either way.",
        None,
        (-0.03, -0.45, 0.39),
        78_390,
        12_558_000,
        3.88,
    ),
    (
        "control of se@blocks",
        "control(like=se)@blocks",
        "control",
        "not yet known",
        "Not yet known against baseline: +0.12 points (−0.99 to +1.23); 14 more seeds would tell.",
        None,
        (0.12, -0.99, 1.23),
        79_880,
        12_541_900,
        3.31,
    ),
]


def example(*, seeds: int = 3, pictures: int = 3, latency: bool = True) -> dict:
    """Return a result; with two seeds it has intervals but no verdict, with one neither."""
    rng = random.Random(0)
    variants = [_variant(row, seeds, rng, latency=latency) for row in _ROWS]
    names = [variant["name"] for variant in variants]
    return copy.deepcopy(
        {
            "format": 3,
            "foveate": "0.1.0",
            "created": "2026-08-14T10:32:05+00:00",
            "question": {
                "mode": "scratch",
                "model": "resnet8",
                "data": "scenes",
                "classes": CLASSES,
                "metric": {"name": "accuracy", "unit": "points", "scale": 100, "higher_is_better": True},
                "margin": 0.5,
                "level": 0.95,
                "seeds": SEEDS[:seeds],
                "epochs": EPOCHS,
                "train_items": 8000,
                "items": ITEMS,
                "size": 48,
                "command": "foveate compare scenes --model resnet8",
            },
            "sentence": _sentence(seeds),
            "could_have_found": "With 3 seeds and 2,000 test items this study finds a true difference of "
            "1.6 points four times in five; smaller ones it mostly cannot tell from luck."
            if seeds > 1
            else "With one seed nothing tells luck from effect.",
            "best": {"variant": "se@blocks", "seed": 1, "reason": "it helps most"},
            "variants": variants,
            "judged_maps": _judged_maps(names, random.Random(2)),
            "checks": [
                {
                    "kind": "near duplicates",
                    "severity": "warning",
                    "message": "2 pictures of the test split are nearly equal to training pictures.",
                    "items": [
                        "test/cat/0012.png ~ train/cat/0431.png",
                        f"test/{EVIL}.png ~ train/图片 7.png",
                    ],
                },
                {
                    "kind": "mixed sizes",
                    "severity": "note",
                    "message": "Pictures come in 4 sizes; all are brought to 48 × 48.",
                    "items": [f"train/{n:04d}.jpg" for n in range(40)],
                },
            ],
            "recipe": {
                "command": "foveate compare scenes --model resnet8 --try se@blocks "
                "--try coordinate@stage1 --seeds 3 --epochs 12 --out runs/first",
                "train": {
                    "epochs": EPOCHS,
                    "batch_size": 64,
                    "optimizer": "adamw",
                    "lr": 0.001,
                    "ema": None,
                    "augment": "crop_flip",
                    "gate": {"lr": 10.0, "warmup": 0.1},
                },
                "versions": {"python": "3.12.4", "torch": "2.14.1", "timm": "1.0.20"},
                "hardware": {"device": "cpu", "threads": 2, "name": "Example CPU @ 2.4 GHz"},
                "seeds": SEEDS[:seeds],
                "start": "identity",
                "data": {
                    "origin": {"kind": "scenes", "size": 48, "train": 8000},
                    "fingerprint": "3f1c9a2be77d",
                },
                "rules": ["No variant is dropped early.", f"The margin is 0.5 points. {QUOTES}"],
            },
            "runs": [
                {
                    "variant": name,
                    "seed": seed,
                    "score": 80 + rng.random(),
                    "seconds": 61.2 + rng.random(),
                    "images_per_second": 1570.0,
                    "steps": 1500,
                    "parameters": 78_042,
                }
                for name in names
                for seed in SEEDS[:seeds]
            ],
            "pictures": [_picture(number, names, rng) for number in range(pictures)],
        }
    )


def everything() -> dict:
    """Return a result with cards of every kind, a variant that is a model, and losses of two parts."""
    result, rng = example(pictures=1), random.Random(1)
    names = [variant["name"] for variant in result["variants"]]
    result["pictures"] += [_pixels(names, rng), *_texts(names, rng), _generated(names, rng)]
    result["pictures"].insert(-1, _boxes(names, rng))  # tests know the places of the others
    result["question"] |= {"task": "several", "facts": ["10 classes", "48 px"]}
    result["variants"][4] |= {"name": "resnet14", "spec": None, "model": "resnet14(width=8)", "gates": []}
    for variant in result["variants"]:
        for curve in variant["curves"]:
            for entry in curve["epochs"]:
                entry["losses"] = {"generator": 1 + rng.random(), "discriminator": rng.random()}
    return result


def _judged_maps(names: list[str], rng: random.Random) -> dict:
    """Maps that beat the centre by one score and not by the other; the last variant has none."""
    metrics = [("deletion", "lower"), ("energy", "higher")]

    def score() -> dict:
        mean = rng.random()
        return {"mean": mean, "low": mean - 0.02, "high": mean + 0.02}

    return {
        "method": "grad_cam",
        "pictures": 30,
        "metrics": [
            {"name": name, "asks": f"is the {name} good?", "better": better} for name, better in metrics
        ],
        "maps": [
            {"variant": name, "map": each, "scores": [score() for _ in metrics]}
            for name in names[:-1]
            for each in ("grad_cam", "smooth_random", "centre")
        ],
        "comparisons": [
            {
                "variant": name,
                "metric": metric,
                "than": than,
                "answer": "yes" if metric == "energy" else "not decided",
                "words": f"better than {than}: "
                + ("yes, by 0.1 to 0.2" if metric == "energy" else "not decided"),
            }
            for name in names[:-1]
            for metric, _ in metrics
            for than in ("smooth_random", "centre")
        ],
    }


def less_is_better(result: dict) -> dict:
    """Return the same result with every score and difference negated, so that less is better."""
    turned = copy.deepcopy(result)
    turned["question"]["metric"] |= {"name": "log loss", "higher_is_better": False}
    for variant in turned["variants"]:
        for part in (
            variant["score"],
            variant["difference"],
            variant["versus_control"],
            *variant["per_class"],
        ):
            if part is not None:
                ends = part["low"], part["high"]
                part["low"], part["high"] = (None if end is None else -end for end in reversed(ends))
                part["mean"] = -part["mean"]
                if "per_seed" in part:
                    part["per_seed"] = [-value for value in part["per_seed"]]
    return turned


def _boxes(names: list[str], rng: random.Random) -> dict:
    answers = [
        {"name": name, "boxes": _png(rng), "score": 40.0 + n, "maps": []} for n, name in enumerate(names)
    ]
    return {
        "kind": "boxes",
        "item": "test-000019",
        "target": None,
        "image": _png(rng),
        "boxes": _png(rng),
        "legend": [{"name": "car", "colour": [255, 0, 0]}],
        "disagreement": 0.5,
        "variants": answers,
    }


def _pixels(names: list[str], rng: random.Random) -> dict:
    answers = [{"name": name, "mask": _png(rng), "score": 61.5, "maps": []} for name in names]
    answers[1]["maps"] = [{"site": "layer1.0", "kind": "effect", "image": _png(rng)}]
    return {
        "kind": "pixels",
        "item": "test/street.png",
        "legend": [{"name": c, "colour": [25 * k, 255 - 25 * k, 90]} for k, c in enumerate(CLASSES)],
        "target": None,
        "image": _png(rng),
        "mask": _png(rng),
        "disagreement": 0.07,
        "variants": answers,
    }


def _texts(names: list[str], rng: random.Random) -> list[dict]:
    """Return a caption of an image, and a translation of a long sentence."""
    said = ["a dog runs along the beach", "two dogs", EVIL, QUOTES, "", "ein Hund läuft am Strand " * 9]
    answers = [
        {"name": name, "answer": text, "score": 20.0 + n if n else None, "maps": []}
        for n, (name, text) in enumerate(zip(names, said, strict=True))
    ]
    maps = [{"site": "decoder.attention", "kind": "weights", "image": _png(rng)}]
    looked = [
        answer
        | {"maps": maps if answer["name"] != "baseline" else [], **_read(answer["answer"], 4 * 4 + 1, rng)}
        for answer in answers
    ]
    source = f"一只狗沿着海滩奔跑 {'Donaudampfschifffahrtsgesellschaft' * 3}"
    references = ["a brown dog is running on the sand", f"a dog {EVIL}"]
    return [
        {
            "kind": "text",
            "item": "test/0001.jpg",
            "source": None,
            "image": _png(rng),
            "places": [4, 4],
            "reference": references,
            "disagreement": 0.5,
            "variants": looked,
        },
        {
            "kind": "text",
            "item": "sentence 17",
            "source": source,
            "read": [*source.split(), "</s>"],
            "image": None,
            "reference": ["a dog runs along the beach"],
            "disagreement": None,
            "variants": [answer | _read(answer["answer"], 3, rng) for answer in answers],
        },
    ]


def _read(sentence: str, entries: int, rng: random.Random) -> dict:
    """Return the words of a sentence, and how much each read of every entry."""
    words = [*sentence.split(), "</s>"]
    draws = [[rng.expovariate(1) ** 3 for _ in range(entries)] for _ in words]
    return {"words": words, "weights": [[weight / sum(row) for weight in row] for row in draws]}


def _generated(names: list[str], rng: random.Random) -> dict:
    return {
        "kind": "image",
        "item": "noise 0 to 15",
        "target": CJK,
        "variants": [{"name": name, "images": [_png(rng) for _ in range(16)]} for name in names],
    }


def _sentence(seeds: int) -> str:
    if seeds == 1:
        return "One seed: nothing can be said about luck, so there is no verdict."
    if seeds == 2:
        return "Two seeds: intervals, but no verdict."
    return "Shown to beat the baseline: se@blocks by 1.4 points. Shown to hurt: cbam@stage3 by 2.0 points."


def _variant(row: tuple, seeds: int, rng: random.Random, *, latency: bool) -> dict:
    name, spec, role, verdict, words, attention, difference, parameters, macs, ms = row
    mean = 81.4 + (difference[0] if difference else 0)
    half = None if seeds == 1 else 1.3 if seeds == 3 else 4.1
    per_seed = [mean + rng.gauss(0, 0.5) for _ in range(seeds)]
    return {
        "name": name,
        "spec": spec,
        "role": role,
        "verdict": verdict if seeds > 2 or role == "baseline" else "no verdict",
        "words": words if seeds > 2 else "No verdict: too few seeds.",
        "as_attention": attention if seeds > 2 else None,
        "cost": {"parameters": parameters, "macs": macs, "bytes": 4 * parameters},
        "score": {
            "mean": mean,
            "per_seed": per_seed,
            "low": half and mean - half,
            "high": half and mean + half,
        },
        "difference": difference and _difference(difference, seeds),
        "versus_control": _difference((1.30, 0.11, 2.49), seeds)
        if name == "se@blocks" and seeds > 1
        else None,
        "latency": _latency(ms) if latency else None,
        "memory": {"inference": 9_400_000 + 4 * parameters, "training": 88_000_000 + 40 * parameters}
        if latency
        else None,
        "per_class": [_class(c, difference, rng, interval=seeds > 1) for c in CLASSES],
        "confusion": _confusion(rng),
        "gates": [] if role == "baseline" else [_gate(n, spec, seeds, rng) for n in range(3)],
        "curves": [_curve(seed, mean, spec and re.split("[@(]", spec)[0], rng) for seed in SEEDS[:seeds]],
    }


def _difference(ends: tuple[float, float, float], seeds: int) -> dict:
    mean, low, high = ends
    if seeds == 1:
        return {
            "mean": mean,
            **dict.fromkeys(("low", "high", "p", "p_adjusted", "df", "detectable", "pairing", "more_seeds")),
        }
    wide = 1 if seeds > 2 else 4
    known = seeds > 2
    return {
        "mean": mean,
        "low": mean - wide * (mean - low),
        "high": mean + wide * (high - mean),
        "p": 0.0041 if known else None,
        "p_adjusted": 0.0164 if known else None,
        "df": 4.7,
        "detectable": 1.61,
        "pairing": 0.34,
        "more_seeds": 9 if known and low < 0 < high else None,
    }


def _latency(ms: float) -> dict:
    return {
        "single": {"median": ms, "low": 0.96 * ms, "high": 1.09 * ms},
        "batch": {"median": 31 * ms, "low": 30 * ms, "high": 34 * ms, "images": 64},
    }


def _class(name: str, difference: tuple | None, rng: random.Random, *, interval: bool) -> dict:
    mean = 81.4 + rng.gauss(0, 6) if difference is None else difference[0] + rng.gauss(0, 1.2)
    return {
        "class": name,
        "items": ITEMS // 10,
        "mean": mean,
        "low": mean - 2.1 if interval else None,
        "high": mean + 2.1 if interval else None,
    }


def _confusion(rng: random.Random) -> dict:
    matrix = [[rng.choice([0, 0, 3, 20]) for _ in CLASSES] for _ in CLASSES]
    for k in range(len(CLASSES)):
        matrix[k][k] = 600 - sum(matrix[k])
    counts = np.array(matrix)
    return confusion_data(counts, CLASSES)


def _gate(number: int, spec: str, seeds: int, rng: random.Random) -> dict:
    return {
        "site": f"layer{number + 1}.0",
        "mechanism": re.split("[@(]", spec)[0],
        "openings": [0.16 * (number + 1) * (1 + 0.3 * rng.random()) for _ in range(seeds)],
    }


def _curve(seed: int, mean: float, mechanism: str | None, rng: random.Random) -> dict:
    epochs = []
    for epoch in range(1, EPOCHS + 1):
        part = 1 - math.exp(-epoch / 3)
        openings = (
            {f"layer{n}.0.foveate.{mechanism}": 0.16 * n * part * (1 + 0.2 * rng.random()) for n in (1, 2, 3)}
            if mechanism
            else {}
        )
        epochs.append(
            {
                "epoch": epoch,
                "train_loss": 2.3 - 1.7 * part + 0.05 * rng.random(),
                "val_score": None if epoch == 1 else mean * part + rng.gauss(0, 0.8),
                "openings": openings,
            }
        )
    return {"seed": seed, "epochs": epochs}


def _picture(number: int, names: list[str], rng: random.Random) -> dict:
    answers = []
    for name in names:
        right = rng.random() < 0.5
        maps = [
            {"site": site, "kind": kind, "layer": _layer(rng)}
            for site, kind in (("grad_cam", "evidence"), ("layer2.0", "effect"), ("layer3.0", "weights"))
        ]
        answers.append(
            {
                "name": name,
                "prediction": CJK if right else EVIL,
                "confidence": 0.3 + 0.7 * rng.random(),
                "right": right,
                "maps": maps[:1] if name == "baseline" else maps,
                "true_share": rng.random(),
            }
        )
    item = f"test/{EVIL}{number}.png" if number % 2 else f"test/飞机/{number:04d}.png"
    return {
        "kind": "labels",
        "item": item,
        "target": CJK,
        "image": _png(rng),
        "truth": _outline(),
        "disagreement": 0.8 - 0.1 * number,
        "variants": answers,
    }


def _png(rng: random.Random) -> str:
    picture = Image.new("RGB", (96, 96), tuple(rng.randrange(40, 120) for _ in range(3)))
    paint = ImageDraw.Draw(picture)
    for _ in range(5):
        x, y, r = rng.randrange(96), rng.randrange(96), rng.randrange(8, 30)
        paint.ellipse((x - r, y - r, x + r, y + r), fill=tuple(rng.randrange(256) for _ in range(3)))
    return _uri(picture)


def _layer(rng: random.Random) -> str:
    return data_uri(layer(np.array([[rng.random() ** 4 for _ in range(8)] for _ in range(8)])))


def _outline() -> str:
    picture = Image.new("RGBA", (96, 96), (0, 0, 0, 0))
    ImageDraw.Draw(picture).rectangle((30, 34, 62, 66), outline=(255, 255, 255, 255), width=2)
    return _uri(picture)


def _uri(picture: Image.Image) -> str:
    data = io.BytesIO()
    picture.save(data, "PNG")
    return f"data:image/png;base64,{base64.b64encode(data.getvalue()).decode()}"
