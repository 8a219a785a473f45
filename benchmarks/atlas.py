"""How large an atlas is, and how long a browser takes to open it.

    python -m benchmarks.atlas

Ten pictures of ``vit_base_patch16_224``: 12 layers, 12 heads, 197 tokens, written by ``fv.look`` as a user
writes them. The network has random weights, whose attention is almost uniform and would be easy to compress;
so its queries are made longer (``--longer``) until the entropy of a row is about what trained networks show,
0.7 to 0.9 of the largest possible; the mean is printed. With Playwright and Chromium (``CHROMIUM`` names its
path), the page is opened from disk several times in a fresh context; the time ends when it says what the
first layer shows, so that this layer is unpacked and drawn. To reach: 30 MB, 2 seconds.
"""

from __future__ import annotations

import argparse
import math
import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import timm
import torch

import foveate as fv

MODEL = "vit_base_patch16_224"
ARGUMENTS = ["--no-sandbox", "--disable-gpu"]


def sharpened(longer: float) -> torch.nn.Module:
    """Return the network with random weights and queries that are so many times longer."""
    torch.manual_seed(0)
    model = timm.create_model(MODEL, num_classes=10).eval()
    with torch.no_grad():
        for block in model.blocks:
            block.attn.qkv.weight[: model.embed_dim] *= longer
    return model


def spread(maps: np.ndarray) -> float:
    """Return the mean entropy of rows (..., N) that sum to one, as a share of the largest possible."""
    bits = -(maps * np.log(np.clip(maps, 1e-30, None))).sum(axis=-1)
    return float(bits.mean() / math.log(maps.shape[-1]))


def opening(page_file: Path, times: int) -> list[float]:
    """Return how many seconds Chromium took to open the page and to draw the first layer."""
    from playwright.sync_api import sync_playwright

    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    found = []
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        for _ in range(times):
            page = browser.new_context().new_page()
            before = time.perf_counter()
            page.goto(page_file.as_uri())
            page.wait_for_function("document.getElementById('said').textContent.length > 0")
            found.append(time.perf_counter() - before)
            page.context.close()
        browser.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pictures", type=int, default=10)
    parser.add_argument("--longer", type=float, default=8.0)
    parser.add_argument("--times", type=int, default=5)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (options.pictures, 14, 14, 3), dtype=np.uint8)
    photos = coarse.repeat(16, axis=1).repeat(16, axis=2)
    with torch.inference_mode():
        found = fv.look(sharpened(options.longer), photos, method="attention")
    first = found.pictures[0].calls
    shares = [spread(call.weights.numpy()) for call in first]
    print(f"{len(first)} layers, {tuple(first[0].weights.shape[1:])} (heads, queries, keys)")
    print(f"entropy of a row by layer: {min(shares):.2f} to {max(shares):.2f} of the largest possible")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "atlas.html"
        before = time.process_time()
        size = found.atlas(path, size=10**9)
        spent = time.process_time() - before
        print(f"{options.pictures} pictures: {size / 1e6:.1f} MB, written in {spent:.0f} s")
        seconds = opening(path, options.times)
        most = f"{max(seconds):.2f} at most"
        print(f"opened in {statistics.median(seconds):.2f} s (median of {len(seconds)}, {most})")


if __name__ == "__main__":
    main()
