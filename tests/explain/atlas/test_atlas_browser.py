"""The atlas in a real browser: headless Chromium through Playwright."""

import os
import shutil

import numpy as np
import pytest

from foveate.explain.atlas.atlas_content import Atlas, AtlasLayer, AtlasPicture, Axis, Table
from foveate.explain.atlas.atlas_page import write_atlas

pytestmark = [pytest.mark.browser, pytest.mark.slow]

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
EVIL = "<script>alert(1)</script>"
ROWS, COLUMNS = 3, 4


def planted():
    """Return two layers in which the place p looks at p + 1 (layer 0) and at p + 2 (layer 1, head 1)."""
    count = ROWS * COLUMNS
    cells = np.concatenate([[-1], np.arange(count)])[None, :, None]
    axis = Axis(count + 1, (ROWS, COLUMNS), cells, {0: f"class {EVIL}"})
    layers = []
    for number, name in enumerate(("first", f"second {EVIL}")):
        weights = np.full((2, count + 1, count + 1), 0.01)
        for head in range(2):
            for place in range(count):
                weights[head, 1 + place, 1 + (place + 1 + (number and head)) % count] = 1
        weights[:, 0, 5] = 1  # the class token looks at row 2, column 1
        layers.append(AtlasLayer(name, weights / weights.sum(axis=2, keepdims=True), axis, axis))
    return layers


@pytest.fixture(scope="module")
def page_file(tmp_path_factory):
    rng = np.random.default_rng(0)
    photos = rng.integers(0, 256, (2, 60, 80, 3), dtype=np.uint8)
    table = Table("All pictures", ["map", "deletion"], [["grad_cam", "0.2 (0.1 to 0.3)"]])
    signed = rng.normal(size=(6, 8))
    pictures = [
        AtlasPicture(f"{EVIL}{n}.jpg", photo, planted(), {"grad_cam": signed}, [("cat", 0.9), (EVIL, 0.1)])
        for n, photo in enumerate(photos)
    ]
    path = tmp_path_factory.mktemp("atlas") / "atlas.html"
    write_atlas(Atlas(f"model {EVIL}", pictures, [table]), path)
    return path.as_uri()


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    if not CHROMIUM:
        pytest.skip("no Chromium: install the package chromium, or set CHROMIUM to its path")
    with playwright.sync_playwright() as started:
        launched = started.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield launched
        launched.close()


@pytest.fixture
def opened(browser, page_file):
    """Open the atlas; whatever goes wrong in the page, or is loaded, fails the test."""
    contexts, wrong, asked = [], [], []

    def open_(width=1200, **options):
        context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda m: wrong.append(m.text) if m.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("dialog", lambda dialog: (wrong.append(dialog.message), dialog.dismiss()))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(page_file)
        page.wait_for_function("document.getElementById('said').textContent.length > 0")
        return page

    yield open_
    for context in contexts:
        context.close()
    assert wrong == []
    assert [url for url in asked if not url.startswith(("data:", "blob:")) and url != page_file] == []


def said(page, text):
    page.wait_for_function("text => document.getElementById('said').textContent.includes(text)", arg=text)


def click(page, row, column):
    box = page.locator("#stage").bounding_box()
    x, y = (column + 0.5) / COLUMNS * box["width"], (row + 0.5) / ROWS * box["height"]
    page.locator("#stage").click(position={"x": x, "y": y})


def test_a_click_shows_where_the_place_looks(opened):
    page = opened()
    page.locator("#layer").select_option("0")
    click(page, 0, 0)
    said(page, "from row 1, column 1: most at row 1, column 2")
    click(page, 1, 3)
    said(page, "from row 2, column 4: most at row 3, column 1")
    brightest = """() => {
        const canvas = document.getElementById("map"), cells = canvas.width * canvas.height;
        const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
        const light = [...Array(cells).keys()].map(i => data[4 * i] + data[4 * i + 1] + data[4 * i + 2]);
        return [canvas.height, canvas.width, light.indexOf(Math.max(...light))];
    }"""
    assert page.evaluate(brightest) == [ROWS, COLUMNS, 8]
    page.get_by_role("button", name=f"class {EVIL}", exact=True).click()
    said(page, f"from class {EVIL}: most at row 2, column 1")


def test_the_keyboard_does_what_the_pointer_does(opened):
    page = opened()
    page.locator("#layer").select_option("0")
    click(page, 0, 0)
    page.keyboard.press("ArrowRight")
    said(page, "from row 1, column 2: most at row 1, column 3")
    page.keyboard.press("]")
    page.keyboard.press("=")
    page.keyboard.press("=")
    said(page, "head 1, from row 1, column 2: most at row 1, column 4")
    page.keyboard.press("m")
    said(page, "mean of the heads")
    page.keyboard.press(".")
    page.wait_for_function("document.querySelectorAll('#pictures [aria-checked=true] img').length === 1")
    assert page.locator("#photo").get_attribute("alt") == f"{EVIL}1.jpg"


def test_a_finger_drags_the_place(opened):
    page = opened(390, has_touch=True)
    page.locator("#layer").select_option("0")
    box = page.locator("#stage").bounding_box()
    page.touchscreen.tap(box["x"] + 5, box["y"] + 5)
    said(page, "from row 1, column 1")
    assert page.evaluate("getComputedStyle(document.getElementById('stage')).touchAction") == "pinch-zoom"


@pytest.mark.parametrize("width", [320, 768, 1440])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_page_never_scrolls_sideways_and_names_stay_text(opened, width, theme):
    page = opened(width, color_scheme=theme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert EVIL in page.title() and page.locator("script:not([type])").count() == 1
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(18, 19, 22)"
    assert dark == (theme == "dark")


def test_other_maps_and_scores_are_beside(opened):
    page = opened()
    assert (
        page.locator("#tables table").inner_text().split()
        == "All pictures map deletion grad_cam 0.2 (0.1 to 0.3)".split()
    )
    page.get_by_text("grad_cam", exact=True).first.click()
    said(page, "grad_cam: most at")
    low, high = (float(page.locator(end).inner_text()) for end in ("#low", "#high"))
    assert low == -high  # signed: zero in the middle
    page.get_by_text("attention", exact=True).click()
    said(page, "from row")
