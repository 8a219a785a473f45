"""What an exported page calls: from a folder to a page that runs."""

from __future__ import annotations

from pathlib import Path

from foveate.infer.find_model import find_model
from foveate.serve.limits import Limits
from foveate.serve.page import HOST, PORT, expect_gradio, keep_up
from foveate.serve.served_model import served_model


def serve(
    model: str | Path, *pictures: str, host: str = HOST, port: int = PORT, limits: Limits | None = None
) -> None:
    """Serve the page of a model until Ctrl-C.

    Args:
        model: What ``foveate look`` takes.
        pictures: What to show beside it and to judge on.
        host: The address that listens; by default only this machine can reach it.
        port: Likewise.
        limits: What the page allows.

    Raises:
        MissingExtraError: gradio is not installed.
        FoveateError: The model or the pictures cannot be used.
        OSError: The port is taken.
    """
    expect_gradio()
    keep_up(served_model(find_model(model), pictures, limits), host=host, port=port)
