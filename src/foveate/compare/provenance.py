"""What is needed to repeat a study: command, recipe, versions, hardware."""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from foveate.compare.plan import StudyPlan

_PACKAGES = (
    "foveate",
    "torch",
    "torchvision",
    "timm",
    "numpy",
    "scipy",
    "lightning-fabric",
    "safetensors",
    "pillow",
)


def recipe(plan: StudyPlan) -> dict[str, Any]:
    """Return the recipe of a study as plain data."""
    return {
        "command": plan.command,
        "train": asdict(plan.train) | {"branch_epochs": plan.branch_epochs, "size": plan.inputs.get("size")},
        "versions": versions(),
        "hardware": hardware(),
        "seeds": list(plan.seeds),
        "start": plan.start,
        "data": {"origin": dict(plan.origin), "fingerprint": plan.fingerprint},
        "rules": list(plan.rules),
    }


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that decide the outcome."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def hardware() -> dict[str, Any]:
    """Return what the study ran on."""
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "accelerator": torch.cuda.get_device_name(0) if torch.cuda.is_available() else None,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown"
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or "unknown")
