"""METEOR 1.5 without synonyms and paraphrases, against the original's worked cases and statistics."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foveate import score
from foveate.errors import MissingExtraError
from foveate.tasks.metrics import parse_text_metric
from foveate.tasks.metrics.text import meteor
from foveate.tasks.metrics.text.meteor_alignment import align
from foveate.tasks.metrics.text.meteor_words import FUNCTION_WORDS, PREFIXES, meteor_words
from tests.each import each
from tests.tasks.metrics.text.archives import fixture

KNOWN = fixture("meteor.json")


def test_worked_cases():
    cases = [case for case in KNOWN["worked"] if "exact" in case]
    answers, references = [case["hypothesis"] for case in cases], [case["references"] for case in cases]
    metric = parse_text_metric("meteor_exact")
    records = metric.prepare(references).records(answers)
    assert list(metric.item_values(records)) == pytest.approx([case["exact"] for case in cases], rel=1e-12)
    (corpus,) = (v for case in KNOWN["worked"] for k, v in case.items() if k.startswith("corpus"))
    assert metric.value(records) == pytest.approx(corpus, rel=1e-12)


def test_lists_and_parameters_are_the_originals():
    assert set(KNOWN["function_words"]) == FUNCTION_WORDS
    plain = {prefix for prefix in KNOWN["nonbreaking_prefixes"] if "#" not in prefix}
    assert plain == PREFIXES
    known = KNOWN["parameters"]
    ours = (meteor.ALPHA, meteor.BETA, meteor.GAMMA, meteor.DELTA)
    assert ours == (known["alpha"], known["beta"], known["gamma"], known["delta"])
    assert meteor.WEIGHTS == (KNOWN["weights"]["exact"], KNOWN["weights"]["stem"])


# Statistics of the original, METEOR 1.5: matched words of equal form, of equal stem, and chunks.
ALIGNED = {
    ("dogs dogs are", "dog are"): (1, 1, 1),
    ("dogs dogs", "dog"): (0, 0, 0),
    ("dogs dogs x are are", "dog y are"): (1, 0, 1),
    ("runs running", "running running"): (1, 1, 1),
    ("x x runs running", "y running running"): (1, 0, 1),
    ("x runs running", "y y y running running"): (1, 1, 1),
    ("runs z running", "running"): (1, 0, 1),
    ("are dogs dogs", "dog are"): (1, 0, 1),
    ("sat a a sat dogs running a", "dog sat runs a dog a runs a"): (4, 1, 4),
    ("ball runs a runs run ball running", "run ball sat dog the dogs run a dogs"): (3, 1, 2),
}


@each(ALIGNED.items())
def test_alignments_with_stems_are_the_originals(case):
    (answer, reference), known = case
    read = parse_text_metric("meteor_stem").read
    given, true = read(answer), read(reference)
    matches, chunks = align(given[0], true[0], (given[1], true[1]))
    stages = [match.stage for match in matches if match is not None]
    assert (stages.count(0), stages.count(1), chunks) == known


# How many words the original makes of a text.
WORDS = {
    "a t-shirt": ["a", "t", "shirt"],
    "x-x-x": ["x", "x-x"],
    "does n't": ["does", "n", "'t"],
    "a man 's dog": ["a", "man", "'", "s", "dog"],
    "in 1990 's": ["in", "1990", "'", "s"],
    "1's u2's": ["1", "'s", "u2", "'s"],
    "the u.s. team": ["the", "us", "team"],
    "u.s.-led 4'H": ["us", "led", "4'h"],
    "mr. smith": ["mr.", "smith"],
    "Mr. Smith": ["mr.", "smith"],
    "the end. The": ["the", "end", ".", "the"],
    "1,000 a,b": ["1,000", "a", ",", "b"],
    "-lrb- x -rrb-": ["-lrb-", "x", "-rrb-"],
    "5 % & #tag": ["5", "%", "&", "#", "tag"],
    "wait ... now": ["wait", "...", "now"],
    "中文 русский": ["中", "文", "русский"],
}


@each(WORDS.items())
def test_words(case):
    assert meteor_words(case[0]) == case[1]


words = st.lists(st.sampled_from("a b c d".split()), max_size=7)


@given(words, words)
def test_an_alignment_matches_equal_words_once_and_counts_its_chunks(answer, reference):
    matches, chunks = align(answer, reference)
    used = [match.word for match in matches if match is not None]
    assert len(used) == len(set(used))
    assert all(
        match is None or answer[match.word] == word for match, word in zip(matches, reference, strict=True)
    )
    assert len(used) == sum(min(answer.count(word), reference.count(word)) for word in set(answer))
    starts = [
        place
        for place, match in enumerate(matches)
        if match is not None
        and (place == 0 or matches[place - 1] is None or matches[place - 1].word != match.word - 1)
    ]
    assert chunks == len(starts)


def test_stems_without_their_package_say_what_to_install(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "snowballstemmer", None)
    meteor._stem.cache_clear()
    with pytest.raises(MissingExtraError, match=r"meteor_stem needs snowballstemmer.*foveate\[text\]"):
        score("meteor_stem", ["a dog"], ["a dog"])
    meteor._stem.cache_clear()


def test_an_answer_of_one_word_over_and_over_takes_no_time_for_every_pair_of_them():
    """Only as many matches are formed as are kept: 400 words have 160,000, and 40 paths for each."""
    words = ["a"] * 400
    matches, chunks = align(words, words)
    assert [match.word for match in matches] == list(range(400))
    assert chunks == 1
    matches, chunks = align(["b", *words[:60]], [*words[:50], "b"])
    assert sum(match is not None for match in matches) == 51
    assert chunks == 2
