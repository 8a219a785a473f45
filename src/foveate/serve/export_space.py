"""The files of a page that runs elsewhere: what a Hugging Face Space needs, and ``python app.py`` here.

app.py            starts the page.
requirements.txt  the packages that foveate needs, and gradio.
README.md         with the front matter by which a Space knows what to run.
model/            the weights (safetensors) and ``config.json``.
pictures/         pictures to try and to judge on, if some were given.
foveate/          foveate itself, as it is installed here, with its licence.
"""

from __future__ import annotations

import json
import re
import shutil
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from foveate.data.judged_pictures import JudgedPictures
from foveate.errors import CheckpointError, OptionError
from foveate.files import write_bytes, write_json
from foveate.infer.find_model import FoundModel
from foveate.infer.load import load
from foveate.infer.saved import CONFIG, FOLDER, read_saved
from foveate.running import eval_no_grad
from foveate.tensor_file import WEIGHTS, save_tensors
from foveate.version import __version__

MODEL, PICTURES, PACKAGE = "model", "pictures", "foveate"
_MOST_PICTURES = 16
GRADIO = "6.0"  # the least version, as in the extra ``demo``

APP = '''"""Where does {name} look? Run: python app.py"""

import os
from pathlib import Path

from foveate.serve.start import serve

here = Path(__file__).parent
pictures = [str(here / "{pictures}")] if (here / "{pictures}").is_dir() else []
host = "0.0.0.0" if "SPACE_ID" in os.environ else "127.0.0.1"  # a Space is reached from outside

if __name__ == "__main__":
    serve(here / "{model}", *pictures, host=host, port=int(os.environ.get("PORT", "7860")))
'''

README = """---
title: {title}
emoji: 👁️
colorFrom: blue
colorTo: gray
sdk: gradio
sdk_version: {gradio}
app_file: app.py
pinned: false
---

# Where does {name} look?

Drop a picture, choose a method, and see what the answer rests on; then have the map judged. Made with foveate
{version}, whose code is in `foveate/` under the Apache License 2.0. Run it on your own machine:

    pip install -r requirements.txt
    python app.py

`model/` holds the weights (safetensors) and what is known about them; `foveate look model photo.jpg` and
`fv.load("model")` read the folder, too.
"""


def export_space(
    found: FoundModel, folder: Path, given: JudgedPictures | None = None, *, title: str
) -> list[Path]:
    """Write the files of a page into a folder; return their paths, those of foveate's own code left out.

    Args:
        found: The model.
        folder: Made if it is missing; must be empty, or hold an earlier export.
        given: Pictures to try and to judge on.
        title: The model's name for people.

    Raises:
        OptionError: The folder holds something else, or the model is code of the user's own.
        CheckpointError: What was written does not give the same model again.
        OSError: A file cannot be written.
    """
    home = Path(folder)
    _expect_own(home)
    model = _model(found, home / MODEL)
    shutil.rmtree(home / PACKAGE, ignore_errors=True)
    shutil.copytree(
        Path(__file__).parents[1], home / PACKAGE, ignore=shutil.ignore_patterns("__pycache__", "*.pyc")
    )
    name = re.sub(r'["\\{}]+', " ", title)
    about = metadata.distribution("foveate")
    texts = {
        "app.py": APP.format(name=name, pictures=PICTURES, model=MODEL),
        "requirements.txt": "".join(f"{line}\n" for line in requirements()),
        "README.md": README.format(
            title=json.dumps(f"Where does {name} look?", ensure_ascii=False),
            name=name,
            gradio=_gradio(),
            version=__version__,
        ),
    }
    licence = about.read_text("licenses/LICENSE")
    if licence:
        texts[f"{PACKAGE}/LICENSE"] = licence
    for file, text in texts.items():
        write_bytes(home / file, text.encode())
    return [*(home / file for file in texts), *model, *_pictures(given, home / PICTURES)]


def requirements() -> list[str]:
    """Return the packages that foveate needs, and gradio, as pip reads them."""
    core = [line for line in metadata.requires("foveate") or () if ";" not in line]
    return [*core, f"gradio>={GRADIO}"]


def _gradio() -> str:
    """Return the version of gradio for the Space: the one that is installed, or the least that will do."""
    try:
        return metadata.version("gradio")
    except metadata.PackageNotFoundError:
        return f"{GRADIO}.0"


def _expect_own(home: Path) -> None:
    if home.exists() and not home.is_dir():
        raise OptionError(f"--export {home}: is a file. Name a folder.")
    if home.is_dir() and any(home.iterdir()) and not (home / MODEL / CONFIG).is_file():
        raise OptionError(f"--export {home}: holds other files. Name an empty folder, or a new one.")


def _model(found: FoundModel, home: Path) -> list[Path]:
    """Write the weights and what is known about them, and see that they can be read again."""
    folder = Path(found.name)
    folder = folder / FOLDER if (folder / FOLDER / CONFIG).is_file() else folder
    home.mkdir(parents=True, exist_ok=True)
    paths = [home / WEIGHTS, home / CONFIG]
    if (folder / CONFIG).is_file():
        _expect_no_own_code(read_saved(folder / CONFIG)[0].model)
        for path in paths:
            shutil.copyfile(folder / path.name, path)
    else:
        _expect_no_own_code(found.name)
        total = save_tensors(found.model.state_dict(), home / WEIGHTS)
        write_json(home / CONFIG, {**_config(found), "checksum": total})
    _expect_same(found, home)
    return paths


def _config(found: FoundModel) -> dict[str, Any]:
    """Return what is known of a model by name, as the folder of a training has it."""
    form = found.form
    return {
        "model": found.name,
        "task": "classification",
        "format": 1,
        "classes": list(found.classes) or [f"class {number}" for number in range(_outputs(found))],
        "size": list(form.size),
        "normalisation": {"mean": list(form.mean), "std": list(form.std)},
        "levels": None if form.levels is None else list(form.levels),
    }


def _outputs(found: FoundModel) -> int:
    """Return how many classes a model has.

    Raises:
        OptionError: It is not a classifier.
    """
    with eval_no_grad(found.model):
        logits = found.model(_grey(found))
    if not isinstance(logits, torch.Tensor) or logits.ndim != 2:
        raise OptionError(
            f"--export: {found.name} does not classify. Train it, and export the folder of that."
        )
    return logits.shape[1]


def _grey(found: FoundModel) -> torch.Tensor:
    device = next((tensor.device for tensor in found.model.parameters()), torch.device("cpu"))
    return torch.zeros(1, 3, *found.form.size, device=device)


def _expect_same(found: FoundModel, home: Path) -> None:
    again = load(home).to(_grey(found).device)
    with eval_no_grad(again), eval_no_grad(found.model):
        first, second = found.model(_grey(found)), again(_grey(found))
    if isinstance(first, torch.Tensor) and not torch.equal(first, second):
        raise CheckpointError(
            f"{home}: what was written does not answer as {found.name} does. This is a defect."
        )


def _expect_no_own_code(model: str) -> None:
    if ":" in model:
        raise OptionError(
            f"--export: {model} is code of your own, which a page elsewhere would have to import. Register "
            "the model in a package of yours (docs/extending.md)."
        )


def _pictures(given: JudgedPictures | None, home: Path) -> list[Path]:
    if given is None:
        return []
    home.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, pixels in enumerate(given.pixels[:_MOST_PICTURES], start=1):
        paths.append(home / f"{number:02d}.png")
        Image.fromarray(pixels).save(paths[-1])
    return paths
