"""``foveate serve``: a page on this machine to show pictures to a model and see where it looks."""

from __future__ import annotations

from pathlib import Path

from foveate.errors import OptionError

EXAMPLE = """
    $ foveate serve runs/demo "scenes(classes=5)"
    http://127.0.0.1:7860/ shows where runs/demo looks. Ctrl-C stops it.

What a Hugging Face Space needs, which also runs here:

    $ foveate serve runs/demo --export space
    $ python space/app.py
"""


def serve(
    model: str,
    /,
    *pictures: str,
    host: str = "127.0.0.1",
    port: int = 7860,
    export: Path | None = None,
    split: str = "test",
    max_mb: int = 20,
    max_pixels: int = 50_000_000,
    per_minute: int = 60,
    size: int | None = None,
    weights: Path | None = None,
    untrained: bool = False,
    trust_code: bool = False,
    json: bool = False,
) -> None:
    """Open a page: drop a picture, see where the model looks, and have the map judged.

    Needs gradio: pip install 'foveate[demo]'. The page loads nothing from elsewhere and
    sends nothing anywhere. Only this machine can reach it unless --host says otherwise.

    Args:
        model: The folder of a study or of a training; or a model's name, of timm, of torchvision, or
            package.module:function for your own.
        pictures: What to show beside it and to judge on: scenes, the built-in ones; a folder of images and
            masks, or of class folders; or files, folders, lists and patterns of pictures.
        host: The address that listens; 0.0.0.0 lets other machines in.
        port: The port.
        export: Write what a Hugging Face Space needs into this folder, instead of opening the page.
        split: The part of the data.
        max_mb: Megabytes of the largest file that is accepted.
        max_pixels: Pixels of the largest picture that is decoded.
        per_minute: Requests a minute that one address may make; the model answers one at a time.
        size: Side of the pictures in pixels; the model's own by default.
        weights: A file of weights, for a model by name.
        untrained: Leave a model by name with random weights.
        trust_code: Import and run code that the folder names and that is not part of foveate, timm or
            torchvision, such as a model of your own.
        json: With --export, print the files as JSON.
    """
    from foveate.cli import output
    from foveate.infer.find_model import find_model
    from foveate.serve.export_space import export_space
    from foveate.serve.limits import Limits
    from foveate.serve.page import expect_gradio, keep_up
    from foveate.serve.served_model import served_model

    if export is None:
        expect_gradio()
        if json:
            raise OptionError("--json: goes with --export. The page itself has its numbers as JSON.")
    limits = Limits(megabytes=max_mb, pixels=max_pixels, per_minute=per_minute)
    found = find_model(model, size=size, weights=weights, untrained=untrained, trust_code=trust_code)
    served = served_model(found, pictures, limits, split=split)
    if export is None:
        keep_up(served, host=host, port=port)
        return
    written = export_space(found, export, served.given, title=served.title)
    if json:
        output.machine({"folder": str(export), "files": [str(path) for path in written]})
    else:
        output.say(f"{export}: {len(written)} files. Run it here: python {export / 'app.py'}")
        output.say("For a Hugging Face Space, upload the folder as it is.")
