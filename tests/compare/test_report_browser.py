"""The report in a real browser: headless Chromium through Playwright."""

import json
import os
import shutil

import pytest

from foveate.compare.report import write_report
from tests.compare.report_example import CJK, EVIL, QUOTES, everything, example

pytestmark = [pytest.mark.browser, pytest.mark.slow]

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    if not CHROMIUM:
        pytest.skip("no Chromium: install the package chromium, or set CHROMIUM to its path")
    with playwright.sync_playwright() as started:
        launched = started.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    return write_report(example(), tmp_path_factory.mktemp("study")).as_uri()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The report with cards of every kind."""
    return write_report(everything(), tmp_path_factory.mktemp("whole")).as_uri()


@pytest.fixture
def opened(browser, report):
    """Open the report at a width and in a theme; whatever goes wrong in the page fails the test."""
    contexts, wrong, asked = [], [], []

    def open_(width=1600, theme="light", address=report, **options):
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=theme, **options)
        contexts.append(context)
        page = context.new_page()
        page.on(
            "console",
            lambda message: wrong.append(message.text) if message.type in ("error", "warning") else None,
        )
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("dialog", lambda dialog: (wrong.append(dialog.message), dialog.dismiss()))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(address)
        return page

    yield open_
    for context in contexts:
        context.close()
    assert wrong == []
    assert [
        url for url in asked if not url.startswith(("data:", "blob:")) and not url.endswith("/report.html")
    ] == []


def test_the_page_has_language_title_and_landmarks(opened):
    page = opened()
    assert page.evaluate("document.documentElement.lang") == "en"
    assert page.title() == "resnet8 on scenes: attention compared"
    for landmark in ("main", "banner", "contentinfo", "navigation"):
        assert page.get_by_role(landmark).count() == 1, landmark
    assert page.get_by_role("heading", level=1).inner_text() == example()["sentence"]
    titles = "[...document.querySelectorAll('section')].map(s => s.getAttribute('aria-labelledby'))"
    for title in page.evaluate(titles):
        assert page.locator(f"#{title}").inner_text()
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map(e => e.id)")
    assert len(ids) == len(set(ids))


@pytest.fixture(scope="module")
def long_names(tmp_path_factory):
    """The report of a study with folds, in which a variant's name has no place to break."""
    text = json.dumps(everything()).replace("se@blocks", 6 * "unbreakable")
    result = json.loads(text)
    result["question"]["folds"] = 5
    return write_report(result, tmp_path_factory.mktemp("names")).as_uri()


@pytest.mark.parametrize("width", [320, 400, 768, 1021, 1200, 1320, 1600])
@pytest.mark.parametrize("names", ["whole", "long_names"])
def test_the_page_never_scrolls_sideways(opened, names, width, request):
    page = opened(width, address=request.getfixturevalue(names))
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true })")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    outside = """[...document.querySelectorAll('main *')].filter(e => {
        const box = e.getBoundingClientRect();
        const apart = e.closest('.scroll, .hear, thead, svg');
        return box.width && !apart && (box.right > innerWidth + 1 || box.left < -1);
    }).map(e => e.outerHTML.slice(0, 120))"""
    assert page.evaluate(outside) == []
    ends = [page.locator(part).bounding_box() for part in ("main", ".variants")]
    assert ends[1]["x"] + ends[1]["width"] <= ends[0]["x"] + ends[0]["width"] + 1
    pill = page.locator(".badge", has_text="not yet known").first.bounding_box()
    assert pill["height"] < 30  # one line


def test_names_that_contain_html_are_text(opened):
    page = opened()
    assert page.get_by_text(EVIL).count() > 3
    assert page.locator("#classes").get_by_text(QUOTES).count() > 0
    assert page.locator("#classes").get_by_text(CJK).count() > 0
    assert page.locator("script").count() == 2


def test_a_script_that_slipped_in_would_not_run(opened, report, tmp_path):
    html = write_report(example(), tmp_path).read_text(encoding="utf-8")
    (tmp_path / "report.html").write_text(
        html.replace("</main>", "<script>window.slipped = 1</script></main>"), "utf-8"
    )
    context = opened().context.browser.new_context()
    page = context.new_page()
    page.goto((tmp_path / "report.html").as_uri())
    assert page.evaluate("window.slipped") is None
    context.close()


def _background(page):
    return page.evaluate("getComputedStyle(document.body).backgroundColor")


def test_the_theme_follows_the_system_and_the_button(opened):
    light, dark = _background(opened(theme="light")), _background(opened(theme="dark"))
    assert light != dark
    page = opened(theme="dark")
    button = page.get_by_role("button", name="Light theme")
    button.click()
    assert _background(page) == light
    assert page.get_by_role("button", name="Dark theme").get_attribute("aria-pressed") == "false"
    page.reload()
    assert _background(page) == light  # remembered
    page.get_by_role("button", name="Dark theme").click()
    assert _background(page) == dark


def test_the_button_works_where_storage_is_forbidden(opened):
    page = opened()
    forbid = "Object.defineProperty(window, 'localStorage', { get() { throw new Error('forbidden') } })"
    page.add_init_script(forbid)
    page.reload()
    before = _background(page)
    page.get_by_role("button", name="Dark theme").click()
    assert _background(page) != before


_CONTRAST = """(() => {
    const style = getComputedStyle(document.documentElement);
    const light = (name) => {
        const hex = style.getPropertyValue(name).trim();
        const linear = [1, 3, 5].map(i => parseInt(hex.slice(i, i + 2), 16) / 255)
            .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
    };
    const ratio = (a, b) => (Math.max(light(a), light(b)) + 0.05) / (Math.min(light(a), light(b)) + 0.05);
    const tones = ['helps', 'hurts', 'same', 'unknown', 'plain'];
    const pairs = [['--ink', '--paper'], ['--ink', '--card'], ['--ink', '--code'], ['--soft', '--paper'],
        ['--soft', '--card'], ['--accent', '--paper'], ...tones.map(t => [`--${t}`, `--${t}-tint`]),
        ...tones.map(t => [`--${t}`, '--paper'])];
    return pairs.map(([a, b]) => [`${a} on ${b}`, ratio(a, b)]);
})()"""


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_all_text_has_contrast_aa(opened, theme):
    found = opened(theme=theme).evaluate(_CONTRAST)
    assert len(found) == 16
    assert [(pair, ratio) for pair, ratio in found if ratio < 4.5] == []


def test_hovering_a_point_shows_its_values(opened):
    page = opened()
    tip = page.get_by_role("tooltip", include_hidden=True)
    assert tip.is_hidden()
    page.locator("#cost figure:not([hidden]) .point").nth(1).locator(".mark").hover()
    assert tip.is_visible()
    text = tip.inner_text()
    assert "se@blocks" in text and "+1.42 (+0.31 to +2.53)" in text and "3.42" in text
    page.mouse.move(5, 5)
    assert tip.is_hidden()


@pytest.mark.parametrize("width", [400, 1600])
def test_the_keyboard_reaches_every_point(opened, width):
    page = opened(width)
    tip = page.locator("#tip")
    page.locator("#cost input:checked").last.focus()
    seen = []
    for _ in example()["variants"]:
        page.keyboard.press("Tab")
        assert tip.is_visible()
        seen.append(tip.inner_text().split("\n")[0])
        box = tip.bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= width
    assert seen == [
        f"{letter} {v['name']}" for letter, v in zip("ABCDEF", example()["variants"], strict=True)
    ]
    page.keyboard.press("ArrowLeft")
    assert tip.inner_text().startswith("E coordinate@stage1")
    page.keyboard.press("Escape")
    assert tip.is_hidden()


@pytest.mark.parametrize("section", ["curves", "classes", "gates"])
def test_one_stop_of_the_tab_key_a_chart_and_arrows_inside(opened, section):
    page = opened()
    group = page.locator(f"#{section} [data-points]:visible").first
    points = group.locator(".point")
    assert [points.nth(i).get_attribute("tabindex") for i in range(3)] == ["0", "-1", "-1"]
    points.first.focus()
    first = page.locator("#tip").inner_text()
    page.keyboard.press("ArrowDown")
    assert page.locator("#tip").is_visible() and page.locator("#tip").inner_text() != first
    page.keyboard.press("End")
    assert page.evaluate("document.activeElement.dataset.tip") == points.last.get_attribute("data-tip")


def test_every_point_tells_a_screen_reader_its_values(opened):
    page = opened()
    points = page.evaluate("document.querySelectorAll('.point').length")
    assert (
        points
        == page.evaluate("document.querySelectorAll('.point[role=img][aria-label*=\",\"]').length")
        > 50
    )
    assert (
        page.evaluate("[...document.images].filter(i => i.alt === '' && !i.matches('.truth, .layer')).length")
        == 0
    )


def test_the_cost_can_be_switched(opened):
    page = opened(400)
    charts = page.locator("#cost figure")
    assert charts.count() == 12 and charts.locator("visible=true").count() >= 1
    for label in ("Parameters", "Multiply-adds per image", "Peak memory, inference"):
        page.get_by_role("radio", name=label, exact=True).check()
        shown = page.locator("#cost figure:visible")
        assert shown.count() == 1 and label in shown.inner_text()
    page.get_by_role("radio", name="Accuracy (points)").check()
    assert "Accuracy (points)" in page.locator("#cost figure:visible").inner_text()
    page.get_by_role("radio", name="Training loss").check()
    assert page.locator("#curves [data-curve]:visible").get_attribute("data-curve") == "train_loss"


def test_the_confusions_of_each_variant_can_be_seen(opened):
    page = opened(400, "dark")
    section = page.locator("#confusion")
    assert section.locator("table.confusion:visible").count() == 1
    section.get_by_role("radio", name="se@blocks", exact=True).check()
    shown = section.locator("table.confusion:visible")
    assert shown.count() == 1 and shown.locator("caption").inner_text().startswith("se@blocks")
    assert shown.get_by_role("rowheader").count() == 10
    assert section.get_by_role("region").first.get_attribute("tabindex") == "0"


_CELLS = """[...document.querySelectorAll('#confusion [data-confusion="0"] .confusion td')]
    .map(cell => {
        const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
        const light = (colour) => {
            canvas.fillStyle = colour;
            canvas.fillRect(0, 0, 1, 1);
            const linear = [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3).map(v => v / 255)
                .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
            return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
        };
        const style = getComputedStyle(cell), a = light(style.color), b = light(style.backgroundColor);
        return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    })"""


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_cells_of_the_matrix_have_contrast_aa(opened, theme):
    found = opened(theme=theme).evaluate(_CELLS)
    assert len(found) == 100 and min(found) > 4.5


def test_the_table_turns_into_cards_on_a_narrow_screen(opened):
    def display(width):
        return opened(width).evaluate("getComputedStyle(document.querySelector('.variants td')).display")

    assert display(1600) == "table-cell" and display(400) == "flex"
    assert opened(400).get_by_role("table").first.get_by_role("rowheader").count() == 6


def test_pictures_are_drawn(opened, whole):
    page = opened(address=whole)
    broken = "[...document.images].filter(i => !i.complete || !i.naturalWidth).length"
    assert page.evaluate("document.images.length") > 100 and page.evaluate(broken) == 0
    assert page.locator("#pictures article").count() == len(everything()["pictures"])


def test_the_numbers_can_be_saved_from_the_page_alone(opened):
    page = opened()
    with page.expect_download() as caught:
        page.get_by_role("button", name="Save the runs as CSV").click()
    assert caught.value.suggested_filename == "runs.csv"
    assert caught.value.path().read_text(encoding="utf-8").startswith("variant,seed,score")


@pytest.mark.parametrize("seeds", [1, 2])
def test_a_study_of_few_seeds_opens(opened, tmp_path, seeds):
    address = write_report(example(seeds=seeds, latency=False, pictures=0), tmp_path).as_uri()
    page = opened(400, "dark", address)
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    assert page.locator("#verdict").inner_text()
