"""The parts of a report beside its page: charts, words, files, the figure, the notebook."""

import csv
import json
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from markupsafe import Markup

from foveate.compare.report import (
    axes,
    curves,
    gates,
    pareto,
    read_result,
    render,
    repr_html,
    words,
)
from foveate.compare.report.figure import draw
from foveate.compare.report.page import view
from foveate.compare.report.result import complete
from foveate.compare.report.svg import Scale, point, tag
from foveate.compare.report.write import write_report
from foveate.errors import StudyError
from tests.compare.page_text import Text
from tests.compare.report_example import EVIL, example


@pytest.fixture(scope="module")
def page():
    return render(example())


def test_what_could_have_been_shown_is_said_where_a_race_dropped_all_and_not_where_all_is_decided():
    result = example()
    for verdict, said in (("dropped", True), ("hurts", False)):
        for variant in result["variants"]:
            if variant["role"] == "variant":
                variant["verdict"] = verdict
        shown = view(complete(result))["lead"]
        assert bool(shown) == said and (not said or shown in result["could_have_found"])


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
@pytest.mark.slow
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
