"""Metrics of captions against coco-caption's own code: the fixtures say which versions."""

import numpy as np
import pytest

from foveate import score
from foveate.tasks.metrics import parse_text_metric, text_metrics
from tests.each import each
from tests.tasks.metrics.text.archives import fixture, flickr_captions

KEYS = {  # ours -> the original's
    **{f"bleu_{k}": ("BLEU", k - 1) for k in range(1, 5)},
    "rouge_l": ("ROUGE_L",),
    "cider_d": ("CIDEr_D",),
    "cider": ("CIDEr_plain",),
    "meteor_exact": ("METEOR_exact",),
    "meteor_stem": ("METEOR_exact_stem",),
}
OURS = {
    "bleu_1": "BLEU_1",
    "bleu_4": "BLEU_4",
    **{name: key[0] for name, key in KEYS.items() if len(key) == 1},
}
KNOWN = [name for name in KEYS if name in text_metrics]
ODD = fixture("caption_scores_odd.json")["sets"]


def of(scores, name):
    key, *place = KEYS[name]
    return scores[key][place[0]] if place else scores[key]


def near(value):
    return pytest.approx(value, rel=1e-9, abs=1e-11)


def plain(name):
    return f"{name}(tokens=whitespace)"


def items(name, hypotheses, references):
    metric = parse_text_metric(name)
    return metric.item_values(metric.prepare(references).records(hypotheses))


@each((name, odd) for name in KNOWN for odd in ODD)
def test_odd_corpora(case):
    name, known = case[0], ODD[case[1]]
    assert score(plain(name), known["hypotheses"], known["references"]) == near(of(known["scores"], name))
    if name in OURS:
        each_one = items(plain(name), known["hypotheses"], known["references"])
        assert list(each_one) == near(known["each"][OURS[name]])


def of_tokens():
    """Return, by name, the systems whose words the fixture has: (words of answers, scores)."""
    known = fixture("caption_scores.json")
    references, systems = known["reference_tokens"], known["systems"]
    first = systems["human_first"]["hypothesis_tokens"]
    words = {
        "human_first": first,
        "human_first_of_next_image": first[1:] + first[:1],
        "constant": ["a dog runs through the grass"] * len(first),
        "one_word": ["dog"] * len(first),
        "copy_of_third_reference": [own[2] for own in references],
        "shouting": systems["shouting"]["hypothesis_tokens"],
    }
    return references, {name: (answers, systems[name]) for name, answers in words.items()}


@pytest.mark.parametrize("name", KNOWN)
def test_real_captions_by_their_words(name):
    references, systems = of_tokens()
    for system, (answers, known) in systems.items():
        assert score(plain(name), answers, references) == near(of(known["scores"], name)), system
        if name in OURS:  # the whole set has the document frequencies
            first = items(plain(name), answers, references)[:10]
            assert list(first) == near(known["first_ten"][OURS[name]]), system


def of_photos(captions):
    """Return toy systems by name: what each of them says about every photo."""
    first = [own[0] for own in captions]
    return {
        "human_first": first,
        "human_first_of_next_image": first[1:] + first[:1],
        "constant": ["A dog runs through the grass ."] * len(first),
        "first_four_words": [" ".join(text.split()[:4]) for text in first],
        "one_word": ["dog"] * len(first),
        "doubled": [text.rstrip(" .") + " " + text for text in first],
        "words_reversed": [" ".join(text.split()[::-1]) for text in first],
        "copy_of_third_reference": [own[3] for own in captions],
        "shouting": [text.upper().replace(" .", "!!!") for text in first],
    }


@pytest.mark.data
@pytest.mark.parametrize("name", KNOWN)
def test_real_captions(name):
    captions = flickr_captions("val")
    references = [own[1:] for own in captions]
    lowered = [[text.lower() for text in own] for own in references]
    for system, answers in of_photos(captions).items():
        known = fixture("caption_scores.json")["systems"][system]
        assert score(name, answers, references) == near(of(known["scores"], name)), system
        if not name.startswith("meteor"):  # the original's has its own rules for punctuation
            small = [text.lower() for text in answers]
            assert score(plain(name), small, lowered) == near(of(known["scores_whitespace_lower"], name)), (
                system
            )


def test_cider_of_a_part_has_the_document_frequencies_of_the_whole():
    references = [["a dog runs on grass"], ["a cat sits here now"], ["a dog sits on a chair"]]
    answers = [own[0] for own in references]
    metric = parse_text_metric("cider_d")
    records = metric.prepare(references).records(answers)
    recomputed = score("cider_d", answers[:1], references[:1])
    assert metric.value(records[:1]) == pytest.approx(10) and recomputed == 0.0
    again = metric.prepare(references).records(answers[2:], [2])
    assert np.array_equal(again, records[2:])
