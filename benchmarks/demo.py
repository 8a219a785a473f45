"""How often the demonstration decides: the study of ``foveate demo`` with other scenes and other seeds.

    python -m benchmarks.demo --masters 110 111 112

Each master seed draws the scenes and all seeds of its study anew. Printed are the verdicts, the difference to
the baseline and to the control, and how long it took. To reach: in 9 of 10 studies, within 4 minutes on two
cores, attention pooling helps as attention, and the channel attention makes no difference worth having. A
study that was stopped goes on.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch

import foveate as fv
from foveate.cli.demo import FULL, SEEDS, question


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--masters", type=int, nargs="+", default=list(range(110, 120)))
    parser.add_argument("--processes", type=int, default=2, help="which do not change the verdicts")
    parser.add_argument("--out", type=Path, default=Path("runs"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    decided = 0
    for master in options.masters:
        data, epochs = FULL
        began = time.perf_counter()
        found = fv.compare(
            data.replace("scenes(", f"scenes(seed={master}, "),
            **question(epochs),
            seeds=range(SEEDS * master, SEEDS * (master + 1)),
            engine="local" if options.processes == 1 else f"processes(count={options.processes})",
            out=options.out / f"demo-{master}",
        )
        helps, same = (found.verdicts[name] for name in question(epochs)["variants"])
        row = next(v for v in found.result["variants"] if v["name"] == question(epochs)["variants"][0])
        right = helps.startswith("helps") and "Helps as attention" in row["as_attention"]
        decided += right and same == "no difference worth having"
        seconds = time.perf_counter() - began
        print(f"{master}: {found.verdicts}. {row['as_attention']} {seconds:.0f} s", flush=True)
    print(f"Decided as planted: {decided} of {len(options.masters)}")


if __name__ == "__main__":
    main()
