"""Laws that every metric of text keeps, and what it says about input that cannot be scored."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foveate import score
from foveate.compare.summary import metric_span
from foveate.errors import DataError, OptionError, ShapeError, UnknownNameError
from foveate.tasks.metrics import parse_text_metric, text_metrics
from foveate.tasks.metrics.label_metric import parse_label_metric
from tests.each import each

NAMES = list(text_metrics)
WORDS = "a the dog dogs runs running run sat . , grass ball red fish".split()
FIRST_OF_EQUAL = {"chrf", "meteor_exact", "meteor_stem"}  # of equally good references they count the first
texts = st.lists(st.sampled_from(WORDS), max_size=9).map(" ".join)
corpora = st.lists(st.tuples(texts, st.lists(texts, min_size=1, max_size=3)), min_size=2, max_size=5)


def counted(name, corpus):
    metric = parse_text_metric(name)
    counter = metric.prepare([references for _, references in corpus])
    return metric, counter, counter.records([answer for answer, _ in corpus])


def same(one, other):
    np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=30)
@given(corpus=corpora)
def test_records_add_up(name, corpus):
    metric, _, records = counted(name, corpus)
    whole = score(name, [answer for answer, _ in corpus], [references for _, references in corpus])
    same(metric.value(records), whole)
    same(metric.value_of_total(records.sum(axis=0)), whole)
    low, high = metric.bounds
    assert low <= whole <= high + 1e-9
    assert records.dtype == np.float64 and records.shape == (len(corpus), records.shape[1])


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=20)
@given(corpus=corpora)
def test_leaving_out_each_is_the_metric_of_the_others(name, corpus):
    metric, counter, records = counted(name, corpus)
    for left_out, value in enumerate(metric.value_without_each(records)):
        kept = [item for item in range(len(corpus)) if item != left_out]
        others = counter.records([corpus[item][0] for item in kept], kept)
        same(value, metric.value(others))


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=20)
@given(corpus=corpora, seed=st.integers(0, 99))
def test_neither_the_order_of_items_nor_that_of_references_matters(name, corpus, seed):
    metric, _, records = counted(name, corpus)
    order = np.random.default_rng(seed).permutation(len(corpus))
    _, _, turned = counted(name, [(corpus[item][0], corpus[item][1][::-1]) for item in order])
    if name in FIRST_OF_EQUAL:
        same(metric.item_values(turned), metric.item_values(records[order]))
    else:
        same(turned, records[order])


@pytest.mark.parametrize("name", NAMES)
def test_a_perfect_answer_has_the_greatest_score(name):
    references = [["a black dog runs on the grass"], ["two men sit there quietly , talking"]]
    metric = parse_text_metric(name)
    assert score(name, [own[0] for own in references], references) == pytest.approx(
        metric.bounds[1], abs=1e-8
    )


@pytest.mark.parametrize("name", NAMES)
def test_empty_answers_score_nothing(name):
    assert score(name, ["", ""], [["a dog runs"], ["two men sit"]]) == pytest.approx(0, abs=1e-6)
    assert np.isnan(parse_text_metric(name).value_without_each(np.ones((1, 10)))).all()


def test_one_reference_needs_no_list_of_its_own():
    assert score("bleu_1", ["a dog", "a cat"], ["a dog", "the cat"]) == pytest.approx(0.75)


@each(NAMES)
def test_text_and_back(name):
    metric = parse_text_metric(name)
    assert str(metric) == name and parse_text_metric(metric) is metric
    assert metric.name and metric.unit == "points" and metric.scale == 100
    assert metric.signature([["a"], ["b"]]).startswith("nrefs:1|")
    assert metric.signature([["a"], ["b", "c"]]).startswith("nrefs:var|")


def test_how_words_are_split_is_in_the_name_and_the_signature():
    metric = parse_text_metric("bleu_4(tokens=whitespace)")
    assert str(metric) == "bleu_4(tokens=whitespace)"
    assert metric.signature([["a", "b"]]) == "nrefs:2|tok:whitespace"
    with pytest.raises(OptionError, match="tokens"):
        parse_text_metric("bleu_4(tokens=moses)")
    with pytest.raises(UnknownNameError, match="bleu_4"):
        parse_text_metric("bleu_5")


def test_case_is_only_changed_by_penn_treebank_words():
    assert score("bleu_1(tokens=whitespace)", ["Ein Hund"], ["ein Hund"]) == pytest.approx(0.5)
    assert score("bleu_1", ["A Dog"], ["a dog"]) == pytest.approx(1.0)


@each(
    [
        ([], [], DataError, "hypotheses: got an empty list"),
        (["a"], [], DataError, "references: got none"),
        (["a"], ["a", "b"], ShapeError, "1 hypotheses and references for 2 items"),
        (["a", 3], ["a", "b"], DataError, "hypotheses: entry 1 is 3 "),
        (["a", ["b", "c"]], ["a", "b"], DataError, "Join words with spaces"),
        (["a"], [[]], DataError, "references of item 0: got nothing"),
        (["a", "b"], [["a"], [None]], DataError, "references of item 1: entry 0 is None"),
        (["a"], [None], DataError, "references of item 0: got NoneType None"),
        ("a dog", ["a dog"], DataError, "hypotheses: got a single text"),
        (["a dog"], "a dog", DataError, "references: got a single text"),
    ]
)
def test_what_cannot_be_scored_is_named(case):
    hypotheses, references, error, text = case
    with pytest.raises(error, match=text):
        score("bleu_4", hypotheses, references)


def test_answers_belong_to_items_that_exist():
    counter = parse_text_metric("cider_d").prepare([["a dog"], ["a cat"]])
    with pytest.raises(DataError, match="index 2, expected one from 0 to 1"):
        counter.records(["a"], [2])
    with pytest.raises(ShapeError, match="2 hypotheses for 1 items"):
        counter.records(["a", "b"], [0])


def test_the_rule_of_three_applies_where_items_score_at_the_bounds():
    """CIDEr goes to 10, captions score about 1: one of 200 at 10 more would decide every study."""
    scores = [np.linspace(0, 1, 20)]
    assert metric_span(parse_label_metric("accuracy"), scores) == 1.0
    assert metric_span(parse_text_metric("cider_d"), scores) is None
