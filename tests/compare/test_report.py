import csv
import json
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest
from markupsafe import Markup

from foveate.compare.report import (
    axes,
    curves,
    gates,
    intervals,
    pareto,
    read_result,
    render,
    repr_html,
    words,
)
from foveate.compare.report.cards import CARDS
from foveate.compare.report.figure import draw
from foveate.compare.report.page import flat
from foveate.compare.report.result import better, complete
from foveate.compare.report.svg import Scale, point, tag
from foveate.compare.report.write import write_report
from foveate.errors import StudyError
from foveate.tasks.confusion_matrix import confusion_data
from tests.compare.report_example import CJK, CLASSES, EVIL, QUOTES, everything, example, less_is_better


class Text(HTMLParser):
    """Collect what a reader sees, and which elements there are with which attributes."""

    def __init__(self, html):
        super().__init__()
        self.text, self.elements, self.hidden = "", [], 0
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        self.hidden += tag in ("script", "style")

    def handle_endtag(self, tag):
        self.hidden -= tag in ("script", "style")

    def handle_data(self, data):
        if not self.hidden:
            self.text += data


@pytest.fixture(scope="module")
def page():
    return render(example())


# The page


def test_sections_come_in_the_promised_order(page):
    ids = [a["id"] for name, a in Text(page).elements if name == "section"]
    assert ids == [
        "verdict",
        "table",
        "cost",
        "curves",
        "classes",
        "confusion",
        "gates",
        "pictures",
        "checks",
        "recipe",
        "rules",
    ]


def test_the_verdict_is_the_one_heading_of_the_first_rank(page):
    assert [name for name, _ in Text(page).elements].count("h1") == 1
    heading = re.search(r"<h1[^>]*>(.*?)</h1>", page, re.S).group(1)
    assert heading == example()["sentence"]


def test_names_that_contain_html_stay_text(page):
    seen = Text(page)
    assert EVIL in seen.text and QUOTES in seen.text and CJK in seen.text
    assert [a for name, a in seen.elements if name == "script"] == [
        {"type": "application/json", "id": "study"},
        {},
    ]
    assert not [a for _, a in seen.elements if any(key.startswith("on") for key in a)]


def test_a_name_cannot_close_the_embedded_numbers(page):
    embedded = re.search(r'<script type="application/json" id="study">(.*?)</script>', page, re.S).group(1)
    numbers = json.loads(embedded)
    assert numbers["variants"] == complete(example())["variants"]
    assert "<" not in embedded


def test_every_image_and_link_stays_inside_the_file(page):
    for name, attributes in Text(page).elements:
        for key in ("src", "href", "srcset", "poster", "action", "data"):
            if attributes.get(key):
                assert re.match(r"#|data:", attributes[key]), (name, key, attributes[key])
    assert "url(" not in page and "@import" not in page


def test_a_picture_that_is_an_address_is_not_shown():
    result = example()
    result["pictures"][0]["image"] = "https://example.org/x.png"
    assert "example.org" not in render(result)


def test_numbers_are_written_as_they_are(page):
    seen = re.sub(r"\s+", " ", Text(page).text)
    for text in ("+1.42", "+0.31 to +2.53", "−3.20 to −0.70", "81.4 ± 1.3", "79,871", "+2.3 %", "3.42\xa0ms"):
        assert text.replace("\xa0", " ") in seen.replace("\xa0", " "), text


def test_each_chart_has_its_numbers_as_a_table(page):
    captions = re.findall(r"<caption>(.*?)</caption>", page)
    assert len(captions) == 5 + 6  # and the matrix of each variant
    rows = re.search(r"<caption>Opening of every gate.*?</table>", page, re.S).group(0).count("<tr>")
    assert rows == 1 + 5 * 3 * 3  # heading; variants, sites, seeds


def test_confusions_are_told_in_numbers_and_in_words(page):
    matrix = re.search(r'<table class="confusion">.*?</table>', page, re.S).group(0)
    assert matrix.count("<tr>") == 1 + 10 and matrix.count('class="hit"') == 10
    first = example()["variants"][0]["confusion"]
    assert 'scope="col" class="corner"' in matrix and re.search(r'<span class="hear">.+?</span>', matrix)
    pair = first["pairs"][0]
    assert f"{pair['items']} ({pair['share']:.1f} % of it)" in page
    worst = min(first["by_class"], key=lambda row: row["f1"])
    table = re.search(r'<table class="by-class">.*?</table>', page, re.S).group(0)
    assert f'<td class="n">{worst["f1"]:.1f}</td>' in table.split("</tr>")[1]


def test_of_very_many_classes_the_matrix_is_left_out():
    many = [f"class {k}" for k in range(80)]
    result = example()
    result["question"]["classes"] = many
    counts = np.eye(80, dtype=int) * 9
    counts[3, 5] = 4
    for variant in result["variants"]:
        variant["confusion"] = confusion_data(counts, many)
    page = render(result)
    assert '<table class="confusion">' not in page and "taken for <bdi>class 5</bdi>: 4" in page
    assert "20 classes with a higher F1 are in study.json" in page


@pytest.mark.parametrize("seeds", [1, 2])
def test_few_seeds_are_reported_without_verdict(seeds):
    page = render(example(seeds=seeds, latency=False, pictures=0))
    seen = Text(page).text
    assert set(re.findall(r'class="badge tone-(\w+)"', page)) == {"plain"} and "no verdict" in seen
    assert ("no interval" in seen) == (seeds == 1)
    assert "not measured" in seen and "None" not in seen and "nan" not in seen


def test_an_almost_empty_result_is_still_a_page():
    page = render(
        {"format": 1, "question": {"model": "m"}, "variants": [{"name": "only", "role": "baseline"}]}
    )
    assert "only" in Text(page).text and "No verdict." in page


def test_numbers_that_do_not_exist_are_dashes():
    result = example()
    result["variants"][1]["score"]["mean"] = float("nan")
    result["variants"][1]["difference"]["p"] = np.float64("inf")
    seen = Text(render(result)).text
    assert "nan" not in seen and "inf " not in seen


@pytest.fixture(scope="module")
def whole_page():
    return render(everything())


def test_cards_of_each_kind_stand_under_their_own_sentence(whole_page):
    group = r'<div class="cards (\w+)">\s*<p class="how">(.*?)</p>'
    told = re.findall(group, whole_page, re.S)
    assert [kind for kind, _ in told] == list(CARDS)
    assert len({sentence for _, sentence in told}) == len(CARDS)
    seen = Text(whole_page).text
    assert "a brown dog is running on the sand" in seen and "一只狗沿着海滩奔跑" in seen
    assert whole_page.count('alt="Image 16 of') == 6


def test_cards_of_format_1_do_not_state_their_kind():
    new = everything()
    old = everything()
    old["pictures"] = [card for card in new["pictures"] if card["kind"] in ("labels", "pixels")]
    new["pictures"] = old["pictures"][:]
    old["pictures"] = [
        {k: v for k, v in card.items() if k not in ("kind", "legend")} for card in old["pictures"]
    ]
    old["question"]["palette"] = [entry["colour"] for entry in new["pictures"][1]["legend"]]
    old_page, new_page = (
        render(result).partition('<script type="application/json"')[0] for result in (old, new)
    )
    assert old_page == new_page and old_page.count('class="swatch"') == len(CLASSES)


def test_an_unknown_kind_of_card_is_an_error_that_names_the_kinds():
    result = everything()
    result["pictures"][1]["kind"] = "boxes"
    with pytest.raises(
        StudyError, match=r"\[1\].kind is 'boxes', expected one of labels, pixels, text, image"
    ):
        render(result)


def test_items_are_called_what_the_question_says(whole_page):
    result = everything()
    result["question"]["items_called"] = "sentences"
    result["pictures"], result["checks"] = result["pictures"][2:4], []
    seen = Text(render(result)).text
    assert "The same sentences under every variant" in seen and "Test sentences" in seen
    assert "by test sentence." in seen and "Latency, one sentence" in seen and "Sentences per second" in seen
    assert "image" not in seen and "picture" not in seen
    assert "The same images under every variant" in Text(whole_page).text


def test_a_variant_that_is_a_model_has_no_sentence_on_attention():
    result = example(pictures=0)
    result["variants"][1] |= {"name": "wide", "spec": None, "model": "resnet8(width=32)"}
    page = render(result)
    assert "<code>resnet8(width=32)</code>" in page and "Which model beats" not in page
    assert "Helps as attention" not in Text(page).text
    result["variants"][1]["model"] = None
    assert "Helps as attention" in Text(render(result)).text
    for variant in result["variants"][1:]:
        variant["model"] = variant["name"]
    assert "Which model beats" in render(result)


def test_the_loss_of_each_part_has_its_curve(whole_page):
    result = complete(everything())
    assert [label for _, label in curves.measures(result)[2:]] == [
        "Loss of the generator",
        "Loss of the discriminator",
    ]
    first = everything()["variants"][0]["curves"][0]["epochs"][0]["losses"]["generator"]
    assert curves.lines(result["variants"][0], "losses.generator")[0][0] == (1.0, first)
    assert whole_page.count('data-curve="losses.generator"') == 1


def test_where_less_is_better_the_numbers_turn_and_the_judgement_does_not():
    more, less = complete(example()), complete(less_is_better(example()))
    cost = axes.costs(more)[0]
    for which in range(2):  # the difference, and the score
        best = [
            [s.index for s in pareto._spots(whole, cost, axes.qualities(whole)[which]) if s.best]
            for whole in (more, less)
        ]
        assert best[0] == best[1]
    one, other = (
        intervals.class_rows(whole["variants"][3], Scale(-9, 9), 0.5, 1, better(whole))
        for whole in (more, less)
    )
    for pattern in ('row-name">(.*?)<', r'class="point tone-(\w+)"'):
        assert re.findall(pattern, one) == re.findall(pattern, other)
    assert {"helps", "hurts"} & set(re.findall(r'class="point tone-(\w+)"', one))
    seen = Text(render(less)).text
    for text in (
        "Down is better",
        "where less is better",
        "below zero, as less is better",
        "the class that gains",
    ):
        assert text in seen
    assert "Up is better" in Text(render(more)).text


def test_what_the_check_found_is_named(page):
    seen = Text(page).text
    assert "test/cat/0012.png ~ train/cat/0431.png" in seen and "40 items" in seen
    assert "found nothing" in Text(render(example() | {"checks": []})).text


def test_one_hundred_classes_show_both_ends():
    result = complete(example())
    variant = result["variants"][1]
    variant["per_class"] = [
        {"class": f"class {n:03d}", "items": 10, "mean": float(n), "low": n - 1.0, "high": n + 1.0}
        for n in range(100)
    ]
    names = re.findall(r'row-name">(.*?)<', intervals.class_rows(variant, Scale(0, 100), 0.5, 1))
    assert names[:2] == ["class 099", "class 098"] and names[-1] == "class 000" and len(names) == 16


def test_the_recipe_tells_one_from_yes():
    options = {"a": 1, "b": True, "c": 0, "d": False, "e": None, "f": {"g": [1, 2]}, "h": []}
    written = [
        ("a", "1"),
        ("b", "yes"),
        ("c", "0"),
        ("d", "no"),
        ("e", "none"),
        ("f.g", "1, 2"),
        ("h", "none"),
    ]
    assert flat(options) == written


# The charts


def test_a_tag_escapes_text_and_attributes():
    assert (
        tag("text", "<b>", x=1.5, aria_label='"', dy=None)
        == '<text x="1.5" aria-label="&#34;">&lt;b&gt;</text>'
    )
    assert tag("g", Markup("<i></i>")) == "<g><i></i></g>"
    assert 'data-tip="&lt;"' in point(tip="<")


@pytest.mark.parametrize(
    "values", [[], [None], [3.0], [0.0, 0.0], [-1e9, 1e9], [1.0, 1.0 + 1e-7], [float("nan"), 2.0]]
)
def test_a_scale_is_never_empty(values):
    scale = Scale.over(values)
    assert scale.low < scale.high and 1 <= len(scale.ticks()) <= 12
    assert all(0 <= scale.at(tick) <= 1 for tick in scale.ticks())


def test_ticks_are_round_and_written_apart():
    scale = Scale(-0.31, 2.2)
    assert scale.ticks(5) == pytest.approx([0, 0.5, 1, 1.5, 2])
    assert scale.digits(5) == 1
    assert Scale(0, 70).digits() == 0


def test_the_frontier_holds_what_nothing_beats_in_both():
    result = complete(example())
    cost = next(axis for axis in axes.costs(result) if axis.key == "latency")
    spots = pareto._spots(result, cost, axes.qualities(result)[0])
    assert [spot.variant["name"] for spot in spots if spot.best] == [
        "baseline",
        "se@blocks",
        "eca(kernel=5)@stage3",
    ]
    result["question"]["metric"]["higher_is_better"] = False
    spots = pareto._spots(result, cost, axes.qualities(result)[0])
    assert [spot.index for spot in spots if spot.best] == [0, 3]


def test_points_of_equal_cost_step_aside():
    result = complete(example())
    cost = next(axis for axis in axes.costs(result) if axis.key == "parameters")
    spots = pareto._apart(pareto._spots(result, cost, axes.qualities(result)[0]), Scale(78_000, 80_000))
    aside = {spot.index: spot.aside for spot in spots}
    assert aside[1] == -aside[5] == -pareto.SIDE / 2  # the variant and its control
    assert aside[3] == 0


def test_the_batch_latency_is_that_of_one_image():
    result = complete(example())
    value = next(axis for axis in axes.costs(result) if axis.key == "batch").read(result["variants"][0])
    assert value.mean == pytest.approx(31 * 2.91 / 64)


def test_a_cost_that_nobody_measured_is_not_offered():
    keys = [axis.key for axis in axes.costs(complete(example(latency=False)))]
    assert keys == ["macs", "parameters"]


def test_curves_leave_out_epochs_without_value():
    result = complete(example())
    assert [len(line) for line in curves.lines(result["variants"][0], "val_score")] == [11, 11, 11]
    assert curves.mean([[(1, 2.0), (2, 4.0)], [(2, 8.0)]]) == [(1, 2.0), (2, 6.0)]


def test_the_way_of_a_gate_is_found_by_its_path_or_its_site():
    epochs = [{"epoch": 0, "openings": {"a.foveate.se": 0.1, "a.foveate.eca": 0.2, "b": 0.3}}]
    variant = {"curves": [{"seed": 0, "epochs": epochs}]}
    assert gates.ways(variant, {"site": "a", "mechanism": "eca"}) == [[(1, 0.2)]]
    assert gates.ways(variant, {"site": "b", "mechanism": "se"}) == [[(1, 0.3)]]
    assert gates.ways(variant, {"site": "c", "mechanism": "se"}) == []


def test_the_numbers_of_the_gates_have_a_curve_each(page):
    assert len(re.findall(r'<svg class="spark"[^>]*>(?:<polyline[^>]*></polyline>){3}</svg>', page)) == 5 * 3


def test_epochs_are_counted_from_one():
    entries = [{"epoch": 0, "train_loss": 2.0}, {"epoch": 1, "train_loss": 1.0}]
    assert [number for number, _ in curves.numbered({"epochs": entries})] == [1, 2]
    assert [number for number, _ in curves.numbered({"epochs": entries[1:]})] == [1]
    assert curves.numbered({"epochs": []}) == []


def test_gates_tell_the_seed_of_every_dot():
    variant = complete(example())["variants"][1]
    assert [seed for seed, _ in gates.by_seed(variant, variant["gates"][0])] == ["0", "1", "2"]
    drawn = gates.rows(variant, gates.gate_scale([variant]))
    assert drawn.count('class="dot"') == 9 and "seed 2: " in drawn


# Words


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.234, "+1.23"),
        (-0.5, "−0.50"),
        (0.0, "0.00"),
        (-0.001, "0.00"),
        (0.001, "0.00"),
        (None, "–"),
        (-1234.5, "−1,234.50"),
    ],
)
def test_signed(value, text):
    assert words.signed(value) == text


def test_other_words():
    assert words.spread(5.0, 4.0, 6.0) == "± 1.0"
    assert words.spread(5.0, 4.0, 7.0) == "4.0 to 7.0"
    assert words.spread(5.0, None, None) == ""
    assert words.short(12_540_000) == "12.5\xa0M" and words.short(950) == "950"
    assert words.relative(102, 100) == "+2.0 %" and words.relative(100.01, 100) == "< +0.1 %"
    assert words.relative(100, 100) == "same" and words.relative(1, 0) == ""
    assert words.duration(7500) == "2 h 5 min" and words.duration(61) == "1 min 1 s"
    assert words.chance(0.0004) == "< 0.001" and words.chance(0.25) == "0.25"
    assert [words.letter(n) for n in (0, 25, 26, 701, 702)] == ["A", "Z", "AA", "ZZ", "AAA"]


# The files


def test_the_folder_holds_everything_and_reads_back(tmp_path):
    result = example()
    path = write_report(result, tmp_path / "new" / "study")
    names = {"report.html", "study.json", "pictures.json", "runs.csv", "figure.png", "figure.svg"}
    assert path.name == "report.html" and {entry.name for entry in path.parent.iterdir()} == names
    assert read_result(path.parent) == json.loads(json.dumps(result))
    assert render(read_result(path.parent)) == path.read_text(encoding="utf-8")
    with (path.parent / "runs.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 18 and rows[9]["variant"] == f"cbam@stage3 {EVIL}" and rows[9]["seed"] == "0"


@pytest.mark.usefixtures("undrawn")
def test_a_second_report_without_pictures_keeps_the_pictures(tmp_path):
    write_report(example(), tmp_path)
    later = example()
    del later["pictures"]
    write_report(later, tmp_path)
    assert read_result(tmp_path)["pictures"] == example()["pictures"]


@pytest.mark.usefixtures("undrawn")
def test_numpy_and_not_a_number_become_plain_json(tmp_path):
    result = example()
    result["variants"][0]["score"]["per_seed"] = np.array([1.0, np.nan, 3.0])
    result["question"]["items"] = np.int64(7)
    write_report(result, tmp_path)
    read = json.loads((tmp_path / "study.json").read_text(), parse_constant=pytest.fail)
    assert read["variants"][0]["score"]["per_seed"] == [1.0, None, 3.0] and read["question"]["items"] == 7


@pytest.mark.usefixtures("undrawn")
def test_a_file_name_that_is_not_text_can_be_reported(tmp_path):
    result = example()
    name = b"caf\xe9.png".decode("utf-8", "surrogateescape")
    result["checks"][0]["items"] = [name]
    path = write_report(result, tmp_path)
    assert "caf" in path.read_text(encoding="utf-8")
    assert read_result(tmp_path)["checks"][0]["items"] == [name]


@pytest.mark.usefixtures("undrawn")
def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StudyError, match=r"file.*cannot be written"):
        write_report(example(), tmp_path / "file")


@pytest.mark.usefixtures("undrawn")
def test_no_half_file_is_left(tmp_path, monkeypatch):
    write_report(example(), tmp_path)
    before = (tmp_path / "study.json").read_bytes()
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(StudyError, match="No space left"):
        write_report(example(seeds=1), tmp_path)
    assert (tmp_path / "study.json").read_bytes() == before
    assert not [entry for entry in tmp_path.iterdir() if entry.name.startswith(".")]


@pytest.mark.parametrize(
    ("text", "wrong"), [(None, "no such file"), ("{", "cannot be read"), ('{"format": 9}', "format 9")]
)
def test_a_folder_without_a_study_is_an_error(tmp_path, text, wrong):
    if text is not None:
        (tmp_path / "study.json").write_text(text)
    with pytest.raises(StudyError, match=wrong):
        read_result(tmp_path)


# The figure


def test_the_figure_shows_every_variant_and_is_the_same_each_time():
    result = complete(example())
    files = draw(result)
    assert files == draw(result)
    assert files["png"].startswith(b"\x89PNG")
    root = ElementTree.fromstring(files["svg"])
    assert root.tag.endswith("svg") and float(root.get("width").removesuffix("pt")) == pytest.approx(
        504, abs=1
    )


@pytest.mark.parametrize("name", ["a $x^2$ b", "飞机", "\x00\x1b[31m", "\udce9", "x" * 300, EVIL])
def test_the_figure_takes_any_name(name):
    result = complete(example())
    result["variants"][1]["name"] = name
    ElementTree.fromstring(draw(result)["svg"])


@pytest.mark.parametrize("seeds", [1, 2])
def test_the_figure_of_few_seeds(seeds):
    assert set(draw(complete(example(seeds=seeds, latency=False)))) == {"png", "svg"}


# The notebook


def test_a_notebook_gets_a_fragment_without_script():
    fragment = repr_html(example())
    seen = Text(fragment)
    assert not [name for name, _ in seen.elements if name in ("script", "html", "body", "link")]
    assert not [a for _, a in seen.elements if "id" in a]
    assert EVIL in seen.text and "+1.42 (+0.31 to +2.53)" in seen.text and example()["sentence"] in seen.text
    assert fragment.count("<svg") >= 5 and len(fragment) < 30_000


@pytest.mark.parametrize(("model", "random"), [("resnet8", True), ("package.module:function", False)])
def test_only_weights_known_to_be_random_are_called_so(model, random):
    result = example()
    result["question"] |= {"model": model, "mode": "scratch"}
    assert ("from random weights" in Text(render(result)).text) is random


def test_nothing_is_said_twice_under_the_verdict():
    result = example() | {
        "sentence": "Nothing is shown: with 3 seeds this study could have found 2 points.",
        "could_have_found": "With 3 seeds this study could have found 2 points. Runs correlate by 0.5.",
    }
    for page in (render(result), repr_html(result)):
        text = Text(page).text
        assert text.count("3 seeds this study could have found 2 points.") == 1
        assert "correlate by 0.5." in text
