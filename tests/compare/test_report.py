import json
import re

import numpy as np
import pytest

from foveate.compare.report import (
    axes,
    curves,
    intervals,
    pareto,
    read_result,
    render,
    write_report,
)
from foveate.compare.report.cards import CARDS
from foveate.compare.report.page import flat
from foveate.compare.report.result import better, complete
from foveate.compare.report.svg import Scale
from foveate.errors import StudyError
from foveate.tasks.confusion_matrix import confusion_data
from tests.compare.page_text import Text
from tests.compare.report_example import CJK, CLASSES, EVIL, QUOTES, everything, example, less_is_better


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
        "maps",
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
    result["pictures"][1]["kind"] = "sounds"
    with pytest.raises(
        StudyError, match=r"\[1\].kind is 'sounds', expected one of labels, pixels, boxes, text, image"
    ):
        render(result)


def test_items_are_called_what_the_question_says(whole_page):
    result = everything()
    result["question"]["items_called"] = "sentences"
    result["pictures"], result["checks"] = result["pictures"][2:4], []
    result["judged_maps"] = None  # of pictures
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


def test_judged_maps_are_written_again_from_the_files(tmp_path):
    """The report can be made without the models; what was judged is in study.json."""
    first = write_report(example(), tmp_path).read_text(encoding="utf-8")
    kept = read_result(tmp_path)
    assert kept["judged_maps"] == example()["judged_maps"]
    again = write_report(kept, tmp_path, only_known=False).read_text(encoding="utf-8")
    text = " ".join(Text(again).text.split())
    assert again == first and "Do the maps tell the truth?" in text
    assert "better than a smooth random map and the centre of the picture by 1 of 2 scores" in text


def test_without_judged_maps_there_is_no_section(tmp_path):
    result = example()
    result["judged_maps"] = None
    page = write_report(result, tmp_path).read_text(encoding="utf-8")
    assert "Do the maps tell the truth?" not in page and "#maps" not in page
