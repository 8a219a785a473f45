"""How gates open: start, reach and warm-up of the gate, measured on scenes.

    python -m benchmarks.gates [--seeds 2] [--epochs 8] [--settings all|default]

A plain resnet8 is trained once per seed; then every mechanism is inserted into it and trained on, with each
setting of the gate, and so is the plain model, for the same steps. Printed, means over seeds: how far the
gates opened (mean absolute value), and the test accuracy less that of the plain model trained on, in points.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import nn

from foveate.data.open import open_data
from foveate.insert.surgery import insert
from foveate.models import create_model
from foveate.recipe import TrainConfig
from foveate.tasks.base import tasks
from foveate.train.evaluate import evaluate
from foveate.train.loop import fit

SPECS = ("se@blocks", "cbam@stage3", "eca@blocks", "dual@stage3")
GRID = [
    ("paper", 1.0, 0.0),
    *(("identity", reach, 0.0) for reach in (1.0, 3.0, 10.0, 30.0)),
    ("identity", 10.0, 0.2),
]
Start = Literal["identity", "paper"]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--settings", choices=("all", "default"), default="all")
    options = parser.parse_args()
    default = TrainConfig()
    grid = GRID if options.settings == "all" else [("identity", default.gate_reach, default.gate_warmup)]
    data = open_data("scenes(train=2000,val=0,test=1000,size=32)")
    recipe = TrainConfig(epochs=options.epochs, lr=5e-3, batch_size=32, augment="crop")
    task = tasks["classification"].of({"classes": data.classes, "size": 32}, recipe=recipe)
    feeds, example = task.feeds(data), torch.zeros(2, 3, 32, 32)
    results: dict[tuple[str, str], list[tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory() as folder:

        def score(model: nn.Module, config: TrainConfig, name: str) -> tuple[float, dict[str, float]]:
            result = fit(model, task, feeds, config, Path(folder) / name)
            return 100 * evaluate(model, task, feeds["test"]).score, result.history[-1]["openings"]

        for seed in range(options.seeds):
            config = replace(recipe, seed=seed)
            torch.manual_seed(seed)
            plain = create_model("resnet8", classes=len(data.classes))
            score(plain, config, f"plain-{seed}")
            state = {key: value.clone() for key, value in plain.state_dict().items()}
            onward = replace(config, epochs=max(1, options.epochs // 2), seed=seed + 1000)
            base, _ = score(plain, onward, f"onward-{seed}")
            print(f"seed {seed}: plain model trained on: {base:.1f} % of the test scenes right", flush=True)
            plain.load_state_dict(state)
            for spec in SPECS:
                for start, reach, warm in grid:
                    torch.manual_seed(seed)
                    model = insert(
                        plain, spec, example=example, start="paper" if start == "paper" else "identity"
                    )
                    setting = f"{start:<8} reach {reach:<4g} warm-up {warm:g}"
                    run = replace(onward, gate_reach=reach, gate_warmup=warm)
                    accuracy, opened = score(model, run, f"{spec}-{start}-{reach}-{warm}-{seed}")
                    opening = float(np.mean([abs(value) for value in opened.values()]))
                    results.setdefault((spec, setting), []).append((opening, accuracy - base))
    print(f"\n{'spec':<12} {'start, reach and warm-up of the gate':<42} {'opening':>8} {'points':>14}")
    for (spec, setting), values in results.items():
        opening, gain = np.mean(values, axis=0)
        spread = np.std([value[1] for value in values], ddof=1) if len(values) > 1 else float("nan")
        print(f"{spec:<12} {setting:<42} {opening:>8.3f} {gain:>+7.2f} ± {spread:.2f}")


if __name__ == "__main__":
    main()
