"""The served page in a real browser: headless Chromium through Playwright."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from importlib.util import find_spec
from pathlib import Path

import pytest

from foveate.infer.find_model import find_model
from foveate.serve.export_space import export_space
from tests.serve.small_model import DATA, bomb, photo, trained

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("gradio") is None, reason="no gradio: pip install 'foveate[demo]'"),
]

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
PATIENCE = 120  # seconds, on a machine with much else to do
SOURCE = Path(__file__).parents[2] / "src"


def free_port():
    with socket.socket() as some:
        some.bind(("127.0.0.1", 0))
        return some.getsockname()[1]


def started(words, address, folder, **more):
    """Start a server in a process of its own, and wait until it answers."""
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "1", **more}
    with (folder / "log.txt").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, *words], cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT
        )
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(address, timeout=5) as answer:
                return process, answer.read().decode()
        except OSError:
            time.sleep(0.2)
    stop(process)
    raise AssertionError(f"no page at {address}: {(folder / 'log.txt').read_text()}")


def stop(process):
    process.send_signal(signal.SIGINT)
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FOVEATE_CACHE", str(folder / "cache"))
        trained(folder / "run")
    photo(folder / "photo.png")
    photo(folder / "second.png", 1)
    bomb(folder / "bomb.png")
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no more")
    (folder / "large.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(3_500_000))
    return folder


@pytest.fixture(scope="module")
def address(home):
    port = free_port()
    url = f"http://127.0.0.1:{port}/"
    words = [
        "-m",
        "foveate",
        "serve",
        "run",
        DATA,
        "--port",
        str(port),
        "--max-mb",
        "1",
        "--per-minute",
        "200",
    ]
    process, page = started(words, url, home, FOVEATE_CACHE=str(home / "cache"))
    assert "<title>" in page or "gradio" in page
    yield url
    stop(process)
    assert "Traceback" not in (home / "log.txt").read_text()


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    if not CHROMIUM:
        pytest.skip("no Chromium: install the package chromium, or set CHROMIUM to its path")
    with playwright.sync_playwright() as begun:
        launched = begun.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield launched
        launched.close()


@pytest.fixture
def opened(browser, address):
    """Open the page; an error in it, or a request to another place, fails the test."""
    contexts, wrong, asked = [], [], []

    def open_(width=1280, theme="light"):
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=theme)
        context.set_default_timeout(PATIENCE * 1000)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(address)
        page.wait_for_selector("#answer .fv-empty")
        return page

    yield open_
    for context in contexts:
        context.close()
    assert wrong == []
    assert [url for url in asked if not url.startswith(("data:", "blob:", address))] == []


def drop(page, path, answer="figure"):
    page.set_input_files("#picture input[type=file]", path)
    return page.wait_for_selector(f"#answer {answer}")


@pytest.mark.parametrize(("width", "theme"), [(1280, "light"), (360, "dark")])
def test_a_picture_is_looked_at_and_its_map_judged(opened, home, width, theme):
    page = opened(width, theme)
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, dark[4:-1].split(","))) < 150) == (theme == "dark")
    drop(page, home / "photo.png")
    assert page.locator("#answer .fv-shares li").count() == 2
    assert page.evaluate("document.querySelector('#answer img').naturalWidth") > 200
    assert "grad_cam" in page.locator("#answer figcaption").inner_text()
    names = page.evaluate("[...document.querySelectorAll('#answer a[download]')].map(a => a.download)")
    assert [name.rpartition(".")[2] for name in names] == ["png", "svg", "json"]
    with page.expect_download() as caught:
        page.get_by_role("link", name="SVG").click()
    assert "<svg" in caught.value.path().read_text(encoding="utf-8")
    page.get_by_role("button", name="Judge this method").click()
    page.wait_for_selector("#verdict table")
    rows = page.locator("#verdict tbody th").all_inner_texts()
    assert rows[0] == "grad_cam" and "centre of the picture" in rows
    assert "better than the centre of the picture" in page.locator("#verdict .fv-words").inner_text()
    assert "energy" in page.locator("#verdict thead").inner_text()  # the scenes know where to look
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_another_method_and_layer_can_be_chosen(opened, home):
    page = opened()
    drop(page, home / "photo.png")
    page.get_by_label("Method").click()
    page.get_by_role("option", name="saliency", exact=True).click()
    page.wait_for_function("document.querySelector('#answer figcaption')?.textContent.includes('saliency')")
    assert page.get_by_label("Layer").is_disabled()


@pytest.mark.parametrize(
    ("file", "text"), [("bomb.png", "30000x30000 pixels"), ("broken.jpg", "cannot be read")]
)
def test_bad_files_get_a_sentence(opened, home, file, text):
    page = opened()
    said = drop(page, home / file, "[role=alert]").inner_text()
    assert text in said and "Traceback" not in said and str(home) not in said and "/tmp" not in said
    drop_after(page, home / "photo.png")


def drop_after(page, path):
    """The page still works after a bad file."""
    page.locator("#picture :is(button[aria-label^=Clear], button[aria-label^=Remove])").first.click()
    page.wait_for_selector("#answer .fv-empty")
    drop(page, path)


def test_own_pictures_are_judged(opened, home):
    page = opened()
    page.set_input_files("#own input[type=file]", [home / "photo.png", home / "second.png"])
    page.wait_for_function("document.querySelectorAll('#own .file').length === 2")
    page.get_by_role("button", name="Judge this method").click()
    page.wait_for_selector("#verdict table")
    assert "Judged on 2 pictures" in page.locator("#verdict .fv-notes").inner_text()


def test_a_large_file_is_refused_with_a_reason(opened, home):
    page = opened()
    page.set_input_files("#picture input[type=file]", home / "large.png")
    page.get_by_text(re.compile("larger than 1 MB|exceed the maximum")).first.wait_for()
    assert page.locator("#answer figure").count() == 0


def test_an_exported_page_runs(home, tmp_path):
    space = tmp_path / "space"
    export_space(find_model(home / "run"), space, title="run")
    port = free_port()
    process, page = started(
        ["app.py"],
        f"http://127.0.0.1:{port}/",
        space,
        PORT=str(port),
        PYTHONPATH="",
        FOVEATE_CACHE=str(tmp_path),
    )
    stop(process)
    assert "Where does model look?" in page
