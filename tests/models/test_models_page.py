import re
from pathlib import Path

import pytest
import torch

from foveate.models import create_model
from foveate.models.names import models

PAGE = Path(__file__).parents[2] / "docs" / "models.md"


@pytest.mark.slow
def test_every_model_stands_on_the_page_with_its_parameters():
    rows = re.findall(r"^\| `(\w+)` \| ([\d,]+) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    ours = {name for name in models if name.startswith("resnet") or "foveate." in module_of(name)}
    assert {name for name, _ in rows} >= ours
    with torch.device("meta"):
        for name, total in rows:
            segments = any(part in module_of(name) for part in (".segmentation.", ".crf."))
            model = create_model(name, classes=21 if segments else 10 if name.startswith("resnet") else 1000)
            assert f"{sum(p.numel() for p in model.parameters()):,}" == total, name


def module_of(name):
    """Return where the network that a builder builds is written."""
    with torch.device("meta"):
        return type(create_model(name, classes=2)).__module__
