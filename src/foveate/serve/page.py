"""The page, made of gradio's parts: what it asks, what it shows, and what it never does.

It sends nothing anywhere, loads nothing from elsewhere, fetches no address that a visitor names, and shows no
traceback. Its files lie in a folder of their own that is gone when it stops.
"""

from __future__ import annotations

import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from PIL import Image

from foveate.errors import FoveateError, MissingExtraError, shown
from foveate.serve import page_parts as parts
from foveate.serve.asked import AUTOMATIC, Asked
from foveate.serve.limits import MEGABYTE, Door

HOST, PORT = "127.0.0.1", 7860
LOOPBACK = ("127.0.0.1", "localhost", "::1")
PREDICTED = -1  # the choice of a class that stands for the predicted one
_EXAMPLES = 8  # of the pictures that were given
_ONE = "model"  # the queue of all that asks the model: one at a time
_KEPT = (600, 3600)  # seconds: how often uploads are looked through, and after how long they are deleted
_DROP = "Drop a picture to see where the model looks."
_DEFECT = "This failed, which looks like a defect of foveate. The terminal says where."
_FONTS = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "Noto Sans", "sans-serif"]


def expect_gradio() -> None:
    """Raise if the package that the page is made with is not there.

    Raises:
        MissingExtraError: It says how to install it.
    """
    if find_spec("gradio") is None:
        raise MissingExtraError("gradio", "demo", "serve")


@contextmanager
def running(served: Asked, *, host: str = HOST, port: int = PORT) -> Iterator[tuple[str, Callable[[], None]]]:
    """Serve a page inside a ``with`` block.

    Args:
        served: The model.
        host: The address that listens; by default only this machine can reach it.
        port: Likewise.

    Yields:
        The address of the page, and what waits until it is stopped with Ctrl-C.

    Raises:
        MissingExtraError: gradio is not installed.
        OSError: The port is taken.
    """
    expect_gradio()
    with tempfile.TemporaryDirectory(prefix="foveate-serve-", ignore_cleanup_errors=True) as home:
        os.environ.update(
            GRADIO_ANALYTICS_ENABLED="False", GRADIO_TEMP_DIR=home, HF_HUB_DISABLE_TELEMETRY="1"
        )
        blocks = _page(served, Path(home), here=host in LOOPBACK)
        from gradio.themes import Default
        from starlette.middleware import Middleware

        limits = served.limits
        try:
            _, address, _ = blocks.launch(
                server_name=host,
                server_port=port,
                prevent_thread_lock=True,
                quiet=True,
                share=False,
                ssr_mode=False,
                mcp_server=False,
                enable_monitoring=False,
                show_error=False,
                inbrowser=False,
                footer_links=[],
                max_file_size=limits.megabytes * MEGABYTE,
                theme=Default(font=_FONTS, font_mono=["ui-monospace", "monospace"], primary_hue="blue"),
                css=parts.style(),
                app_kwargs={
                    "middleware": [Middleware(Door, limits=limits)],
                    "docs_url": None,
                    "redoc_url": None,
                    "openapi_url": None,
                },
            )
            yield address, blocks.block_thread
        finally:
            blocks.close(verbose=False)


def keep_up(served: Asked, *, host: str = HOST, port: int = PORT) -> None:
    """Serve a page until Ctrl-C, and print its address; see ``running``."""
    with running(served, host=host, port=port) as (address, wait):
        print(shown(f"{address} shows where {served.title} looks. Ctrl-C stops it."))
        if host not in LOOPBACK:
            print("Whoever reaches this machine can use the page.")
        sys.stdout.flush()
        wait()


def _page(served: Asked, home: Path, *, here: bool) -> Any:
    """Return the page, not yet listening."""
    import gradio as gr

    ask = _Answers(served, gr)
    classes = [
        ("the predicted class", PREDICTED),
        *((name, n) for n, name in enumerate(served.classes)),
    ]
    with gr.Blocks(
        title=f"Where does {served.title} look?", analytics_enabled=False, delete_cache=_KEPT
    ) as blocks:
        gr.HTML(parts.head(served.title, here=here))
        with gr.Row():
            with gr.Column(scale=4, min_width=300):
                picture = _only_files(
                    gr,
                    gr.Image(
                        label="Picture",
                        type="filepath",
                        sources=["upload", "clipboard"],
                        height=300,
                        elem_id="picture",
                    ),
                )
                if examples := _examples(served, home):
                    gr.Examples(examples, picture, label="Pictures to try", examples_per_page=_EXAMPLES)
                method = gr.Dropdown(
                    list(served.methods), value=served.methods[0], label="Method", elem_id="method"
                )
                layer = gr.Dropdown(**ask.layers_of(served.methods[0]), label="Layer", elem_id="layer")
                target = gr.Dropdown(
                    classes,
                    value=PREDICTED,
                    label="What speaks for",
                    elem_id="target",
                    visible=len(classes) > 1,
                )
            with gr.Column(scale=6, min_width=300):
                answer = gr.HTML(parts.empty(_DROP), elem_id="answer")
        with gr.Accordion("Does the map tell the truth?", open=True, elem_id="judging"):
            with gr.Row(equal_height=True):
                own = _only_files(
                    gr,
                    gr.File(
                        label=_judged_on(served),
                        file_count="multiple",
                        type="filepath",
                        height=170,
                        scale=4,
                        elem_id="own",
                    ),
                )
                with gr.Column(scale=3, min_width=260):
                    count = gr.Slider(
                        2,
                        served.limits.pictures,
                        value=served.usual_pictures,
                        step=1,
                        label="Pictures, at most",
                    )
                    press = gr.Button("Judge this method", variant="primary", elem_id="judge")
            verdict = gr.HTML(parts.empty(_about(served)), elem_id="verdict")

        alone: dict[str, Any] = {
            "concurrency_id": _ONE,
            "concurrency_limit": 1,
            "api_visibility": "private",
            "show_progress": "minimal",
        }
        asked = [picture, method, layer, target]
        gr.on(
            [picture.change, layer.input, target.input],
            ask.look,
            asked,
            answer,
            trigger_mode="always_last",
            **alone,
        )
        method.input(ask.layers, method, layer, **alone).then(ask.look, asked, answer, **alone)
        press.click(ask.judge, [own, count, method, layer, target], verdict, trigger_mode="once", **alone)
    blocks.queue(max_size=served.limits.waiting, default_concurrency_limit=1, api_open=False)
    return blocks


class _Answers:
    """What the page calls: every answer is HTML, whatever happens."""

    def __init__(self, served: Asked, gr: Any) -> None:
        self.served, self.gr = served, gr

    def look(self, picture: str | None, method: str, layer: str, target: int) -> str:
        """Return where the model looks."""
        if not picture:
            return parts.empty(_DROP)
        return _told(lambda: parts.answer(self.served.look(Path(picture), method, layer, _class(target))))

    def judge(self, own: Sequence[str] | None, count: float, method: str, layer: str, target: int) -> str:
        """Return whether the maps tell the truth."""
        paths = [Path(one) for one in own or ()]
        return _told(
            lambda: parts.judged(self.served.judge(paths, int(count), method, layer, _class(target)))
        )

    def layers(self, method: str) -> Any:
        """Return the choice of layers of a method."""
        return self.gr.Dropdown(**self.layers_of(method))

    def layers_of(self, method: str) -> dict[str, Any]:
        """Return the choices, and whether there is anything to choose."""
        known = self.served.layers(method)
        about = "" if known else "This method looks at no layer."
        return {"choices": [AUTOMATIC, *known], "value": AUTOMATIC, "interactive": bool(known), "info": about}


def _told(answer: Callable[[], str]) -> str:
    try:
        return answer()
    except FoveateError as error:
        return parts.wrong(str(error))
    except Exception:
        traceback.print_exc(file=sys.stderr)
        return parts.wrong(_DEFECT)


def _class(target: int) -> int | None:
    return None if target == PREDICTED else int(target)


def _only_files(gr: Any, upload: Any) -> Any:
    """Return a part that takes files that were uploaded here, unopened, and never fetches an address.

    gradio would open a picture to find its kind, and would download what a request names by address.
    """
    to_cache = upload.async_move_resource_to_block_cache

    async def uploaded_only(path: object) -> Any:
        if str(path).lower().startswith(("http:", "https:")):
            raise gr.Error(
                "Only files that were uploaded can be answer, no addresses.", print_exception=False
            )
        return await to_cache(path)

    def paths(payload: Any) -> Any:
        files = getattr(payload, "root", payload)
        if isinstance(files, list):
            return [file.path for file in files]
        return None if files is None else files.path

    upload.async_move_resource_to_block_cache, upload.preprocess = uploaded_only, paths
    return upload


def _examples(served: Asked, home: Path) -> list[list[str]]:
    """Write some of the pictures that were given, to be chosen with a click."""
    if served.given is None:
        return []
    paths = []
    for number, pixels in enumerate(served.given.pixels[:_EXAMPLES], start=1):
        paths.append(home / f"picture-{number}.png")
        Image.fromarray(pixels).save(paths[-1])
    return [[str(path)] for path in paths]


def _about(served: Asked) -> str:
    on = "at least two pictures of yours"
    if served.given is not None:
        on = f"the {len(served.given.pixels)} pictures that were given, or on your own"
    return f"The maps of the chosen method, judged on {on}, beside maps that know nothing of the model."


def _judged_on(served: Asked) -> str:
    return "Pictures to judge on" if served.given is None else "Other pictures to judge on"
