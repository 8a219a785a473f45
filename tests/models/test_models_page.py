import functools
import re
from pathlib import Path

import pytest
import torch

from foveate.models import create_model
from foveate.models.names import models

PAGE = Path(__file__).parents[2] / "docs" / "models.md"


ROWS = dict(re.findall(r"^\| `(\w+)` \| ([\d,]+) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE))
# One of each network that is written here, small ones where there are some.
SOME = ("resnet8", "se_resnet18", "sknet26", "csra", "residual_attention56", "unet", "u2netp", "crf_rnn")


def test_every_model_stands_on_the_page():
    assert ROWS.keys() >= {name for name in models if module_of(name).startswith("foveate.")}


@pytest.mark.parametrize(
    "names",
    [
        pytest.param(SOME, marks=pytest.mark.slow, id="some"),
        pytest.param([name for name in ROWS if name not in SOME], marks=pytest.mark.nightly, id="others"),
    ],
)
def test_the_parameters_on_the_page_are_those_of_the_models(names):
    with torch.device("meta"):
        for name in names:
            segments = any(part in module_of(name) for part in (".segmentation.", ".crf."))
            detects = ".detection." in module_of(name)
            usual = 10 if name.startswith("resnet") else 1000
            model = create_model(name, classes=21 if segments else 91 if detects else usual)
            assert f"{sum(p.numel() for p in model.parameters()):,}" == ROWS[name], name


def module_of(name):
    """Return where the function that builds a network is written."""
    builder = models[name]
    return (builder.func if isinstance(builder, functools.partial) else builder).__module__
