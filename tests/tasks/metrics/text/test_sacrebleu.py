"""sacreBLEU and chrF against sacreBLEU 2.6.0, and its command's own numbers."""

import random
import sys

import pytest
import sacrebleu

from foveate import score
from foveate.errors import MissingExtraError, OptionError
from foveate.tasks.metrics import parse_text_metric
from tests.each import each
from tests.tasks.metrics.text.archives import fixture, sentences

NAMES = {
    "BLEU": "sacrebleu",
    "BLEU_lc": "sacrebleu(cased=False)",
    "BLEU_intl": "sacrebleu(tokens=intl)",
    "chrF2": "chrf",
    "chrF2++": "chrf(words=2)",
}


def systems(source, target):
    """Return toy translations by name, as the fixture says how to make them."""
    shuffler = random.Random(1)

    def shuffled(line):
        words = line.split()
        shuffler.shuffle(words)
        return " ".join(words)

    return {
        "source_copied": source,
        "lower_cased": [line.lower() for line in target],
        "words_shuffled": [shuffled(line) for line in target],
        "every_word_twice": [" ".join(word + " " + word for word in line.split()) for line in target],
        "first_half_of_the_words": [
            " ".join(line.split()[: (len(line.split()) + 1) // 2]) for line in target
        ],
    }


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.parametrize("pair", ["en-de", "de-en"])
def test_translations_have_the_scores_and_signatures_of_sacrebleu(pair):
    known = fixture("translation_scores.json")
    source, target = (sentences(language) for language in pair.split("-"))
    for system, answers in systems(source, target).items():
        scores = known["pairs"][pair]["systems"][system]
        for theirs, ours in NAMES.items():
            assert 100 * score(ours, answers, target) == pytest.approx(scores[theirs]["score"], rel=1e-9), (
                system,
                ours,
            )
    for theirs, ours in NAMES.items():
        written = scores[theirs]["signature"].replace(known["sacrebleu"], sacrebleu.__version__)
        assert parse_text_metric(ours).signature(target) == written


def test_two_references():
    known = fixture("sacrebleu_samples.json")["two_references"]
    references = [list(own) for own in zip(*known["references"], strict=True)]
    assert 100 * score("sacrebleu", known["hypotheses"], references) == pytest.approx(known["BLEU"], rel=1e-9)
    assert 100 * score("chrf", known["hypotheses"], references) == pytest.approx(known["chrF2"], rel=1e-9)


ANSWERS = ["Ein Hund läuft über das Gras.", "Zwei Männer sitzen.", "", "Das Mädchen (links) lacht!"]
REFERENCES = [
    ["Ein Hund rennt über das Gras.", "Der Hund läuft im Gras."],
    ["Zwei Männer sitzen auf einer Bank."],
    ["Nichts."],
    ["Das Mädchen lacht.", "Ein Mädchen links lacht.", "Sie lacht!"],
]


@each(NAMES.values())
def test_different_numbers_of_references_are_what_sacrebleu_makes_of_them(name):
    most = max(map(len, REFERENCES))
    streams = [[own[place] if place < len(own) else None for own in REFERENCES] for place in range(most)]
    metric = parse_text_metric(name)
    original = metric.original()
    assert score(name, ANSWERS, REFERENCES) == pytest.approx(
        original.corpus_score(ANSWERS, streams).score / 100, rel=1e-12
    )
    assert metric.signature(REFERENCES) == original.get_signature().format()


def test_capitals_count():
    assert score("sacrebleu", ["ein hund läuft im gras"], ["Ein Hund läuft im Gras"]) < 0.5
    assert score("sacrebleu(cased=False)", ["ein hund läuft im gras"], ["Ein Hund läuft im Gras"]) == 1.0


def test_options_and_names():
    assert str(parse_text_metric("sacrebleu(tokens=intl)")) == "sacrebleu(tokens=intl)"
    assert parse_text_metric("chrf(words=2)").name == "chrF2++"
    assert parse_text_metric("chrf").name == "chrF2"
    with pytest.raises(OptionError, match="words"):
        parse_text_metric("chrf(words=-1)")


@each(["sacrebleu", "chrf"])
def test_without_the_package_the_error_says_what_to_install(name):
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "sacrebleu", None)
        patch.delitem(sys.modules, "sacrebleu.metrics", raising=False)
        with pytest.raises(MissingExtraError, match=rf"{name} needs sacrebleu.*foveate\[text\]"):
            score(name, ["a dog"], ["a dog"])
