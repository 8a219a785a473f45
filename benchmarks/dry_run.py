"""How long the plan of a study takes: a dry run with 20 and with 200 variants.

    python -m benchmarks.dry_run

The variants are mechanisms at four sites of a small network, as a first search would have them, the data are
scenes. Printed are the seconds of processor time on one thread, which other programs hardly change, by what
they were spent on: building and pricing every variant (and its control), and timing a few.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from itertools import product
from unittest.mock import patch

import torch

import foveate as fv
from foveate.compare import study

SITES = ("stage1", "stage2", "stage3", "blocks")
MECHANISMS = (
    "se eca cbam gc simam bam srm coordinate triplet fca gct sge scse channel spatial sse dual position "
    "non_local polarized strip_pooling shuffle external double_attention axial multi_head split_attention "
    "gather_excite lambda_layer involution outlook aft ufo parnet separable gsop bottleneck halo "
    "feature_pyramid object_context input_gate context_encoding sk_conv cot emsa s2 permutator mobilevit "
    "pyramid_squeeze criss_cross"
).split()
PHASES = ("with_costs", "with_controls", "with_times")


def phases(model: str, count: int) -> dict[str, float]:
    """Return the seconds of a dry run of ``count`` variants, as a whole and by its phases."""
    spent: dict[str, float] = {}
    with ExitStack() as stack:
        for name in PHASES:
            stack.enter_context(patch.object(study, name, clocked(getattr(study, name), name, spent)))
        started = time.process_time()
        specs = [f"{mechanism}@{site}" for mechanism, site in product(MECHANISMS, SITES)][:count]
        fv.compare(None, model=model, variants=specs, epochs=2, dry_run=True)
        return {"in all": time.process_time() - started, **spent}


def clocked(function: Callable[..., object], name: str, spent: dict[str, float]) -> Callable[..., object]:
    """Return the function, which notes in ``spent`` how long its call took."""

    def call(*args: object) -> object:
        started = time.process_time()
        found = function(*args)
        spent[name] = time.process_time() - started
        return found

    return call


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="resnet8")
    parser.add_argument("--counts", type=int, nargs="+", default=[20, 200])
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    phases(options.model, 1)  # what the first study of a process sets up
    for count in options.counts:
        found = phases(options.model, count)
        words = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in found.items())
        print(f"{options.model}, {count} variants: {words}", flush=True)


if __name__ == "__main__":
    main()
