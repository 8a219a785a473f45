"""Both kinds of vocabulary keep the same laws; each has its own rules of what gets a number."""

import copy
import json
import pickle
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foveate.data.words.bpe_vocabulary import BytePairVocabulary, merged
from foveate.data.words.build_vocabularies import build_vocabularies, build_vocabulary
from foveate.data.words.normal_text import normal
from foveate.data.words.read_vocabulary import read_vocabulary
from foveate.data.words.special import END, FIRST, PAD, START, UNKNOWN
from foveate.data.words.word_vocabulary import WordVocabulary
from foveate.errors import DataError, MissingExtraError, OptionError
from foveate.typed import Misfit

TEXTS = [
    "Zwei junge weiße Männer sind im Freien in der Nähe vieler Büsche.",
    'Ein "kleines" Mädchen klettert in ein Spielhaus, aus Holz (3.50 Euro).',
    "A man in a blue T-shirt's standing on a ladder; he doesn't clean the window...",
    "a dog runs through the grass .",
    "a dog runs through the water .",
]
KINDS = {
    "words": build_vocabulary(TEXTS),
    "lower": build_vocabulary(TEXTS, lower=True),
    "spaces": build_vocabulary(TEXTS, split="spaces"),
    "bpe": build_vocabulary(TEXTS, units="bpe", size=90),
    "bpe lower": build_vocabulary(TEXTS, units="bpe", size=90, lower=True),
}
each = pytest.mark.parametrize("vocabulary", KINDS.values(), ids=KINDS)


@each
def test_decoding_undoes_encoding(vocabulary):
    for text in TEXTS:
        numbers = vocabulary.encode(f"  {text}\t")
        assert UNKNOWN not in numbers
        assert numbers[-1] == END and numbers.count(END) == 1
        assert vocabulary.decode(numbers) == normal(text, lower=vocabulary.lower)


@each
def test_every_number_is_within_the_vocabulary_and_every_word_has_one(vocabulary):
    numbers = {number for text in TEXTS for number in vocabulary.encode(text)}
    assert numbers <= {END, *range(FIRST, len(vocabulary))}
    assert len(set(vocabulary.words)) == len(vocabulary.words) == len(vocabulary) - FIRST


@each
def test_decoding_stops_at_the_end_and_leaves_out_start_and_padding(vocabulary):
    numbers = vocabulary.encode(TEXTS[3])
    answered = [START, PAD, *numbers, *numbers, PAD]
    assert vocabulary.decode(answered) == TEXTS[3]
    assert vocabulary.decode([END, *numbers]) == ""
    assert vocabulary.encode("") == vocabulary.encode(" \n") == [END]


@each
def test_unknown_words_are_printed_as_unk(vocabulary):
    numbers = vocabulary.encode("a 日 dog")
    assert UNKNOWN in numbers
    assert vocabulary.decode(numbers).split() in (["a", "<unk>", "dog"], ["a", "<unk><unk>", "dog"])


@each
def test_text_that_looks_like_a_special_word_is_only_text(vocabulary):
    assert not {PAD, START} & set(vocabulary.encode("<pad> <s> </s> <unk>"))
    assert vocabulary.encode("</s> a")[-1] == END and len(vocabulary.encode("</s> a")) > 2


@each
def test_plain_data_survives_json_and_gives_the_same_vocabulary(vocabulary):
    plain = vocabulary.plain()
    again = json.loads(json.dumps(plain))
    assert again == plain
    found = read_vocabulary(again)
    assert found == vocabulary and found.facts() == vocabulary.facts()
    assert [found.encode(text) for text in TEXTS] == [vocabulary.encode(text) for text in TEXTS]


@each
def test_copies_and_pickles_are_equal(vocabulary):
    vocabulary.encode(TEXTS[0])
    for other in (copy.deepcopy(vocabulary), pickle.loads(pickle.dumps(vocabulary))):
        assert other == vocabulary and other.encode(TEXTS[0]) == vocabulary.encode(TEXTS[0])


@each
def test_facts_are_one_line_that_says_what_is_done_to_a_text(vocabulary):
    facts = vocabulary.facts()
    assert facts in repr(vocabulary)
    assert "\n" not in facts and str(len(vocabulary)) in facts and "NFC" in facts
    assert ("lower-cased" in facts) == vocabulary.lower


@each
def test_pieces_are_what_a_reader_sees(vocabulary):
    shown = vocabulary.pieces(vocabulary.encode(TEXTS[0]))
    assert "".join(shown) == normal(TEXTS[0], lower=vocabulary.lower).replace(" ", "")


@each
@pytest.mark.parametrize("number", [-1, 10_000])
def test_a_number_without_a_word_is_refused(vocabulary, number):
    with pytest.raises(OptionError, match=f"word number {number}, expected 0 to {len(vocabulary) - 1}"):
        vocabulary.decode([number])


def test_words_are_numbered_by_frequency_and_then_alphabetically():
    found = WordVocabulary.of(["b a c a", "c d"])
    assert found.known == ("a", "c", "b", "d") and len(found) == 8
    assert WordVocabulary.of(["d c", "c a b a"]) == found
    assert WordVocabulary.of(["b a c a", "c d"], min_count=2).known == ("a", "c")
    assert WordVocabulary.of(["b a c a", "c d"], max_size=5).known == ("a",)
    assert WordVocabulary.of(["The the"]).known == ("The", "the")
    assert WordVocabulary.of(["The the"], lower=True).known == ("the",)


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"min_count": 3}, DataError, "none of 2 words occurs 3 times"),
        ({"min_count": 0}, OptionError, "min_count"),
        ({"max_size": 4}, OptionError, "max_size: got 4, expected a whole number of at least 5"),
    ],
)
def test_impossible_word_vocabularies(options, error, says):
    with pytest.raises(error, match=says):
        WordVocabulary.of(["a b"], **options)


def by_hand(word, merges):
    """Merge pairs as the paper's algorithm does: for each rule in turn, everywhere."""
    parts = list(word)
    for left, right in merges:
        place = 0
        while place < len(parts) - 1:
            if parts[place : place + 2] == [left, right]:
                parts[place : place + 2] = [left + right]
            place += 1
    return parts


@given(st.text("▁abn", min_size=1, max_size=12))
def test_merging_equals_the_rules_applied_in_turn(word):
    vocabulary = BytePairVocabulary.of(["banana band nab", "an ban", "banana"], size=30)
    ranks = {pair: rank for rank, pair in enumerate(vocabulary.merges)}
    assert merged(list(word), ranks) == by_hand(word, vocabulary.merges)


def test_merging_equals_the_library_that_learnt_the_rules():
    from tokenizers import Tokenizer, models

    vocabulary = KINDS["bpe"]
    numbers = {word: number for number, word in enumerate(vocabulary.words)}
    library = Tokenizer(models.BPE(numbers, list(vocabulary.merges)))
    words = {"▁" + word for text in TEXTS for word in text.split()}
    ranks = {pair: rank for rank, pair in enumerate(vocabulary.merges)}
    known = {word for word in words if set(word) <= set(vocabulary.letters)}
    assert len(known) > 30
    for word in known:
        assert merged(list(word), ranks) == library.encode(word).tokens


def test_size_bounds_parts_and_the_most_frequent_pair_is_merged_first():
    texts = ["ab ab ab ab cd cd"]
    assert BytePairVocabulary.of(texts, size=10).merges == (("a", "b"),)
    small = BytePairVocabulary.of(texts, size=100)
    assert small.merges[0] == ("a", "b") and len(small) < 100
    assert small.decode(small.encode("ab cd abcd dcba")) == "ab cd abcd dcba"


def test_learning_does_not_depend_on_threads_or_process():
    program = (
        "import json, tests.data.words.test_vocabularies as t;"
        "print(json.dumps(t.build_vocabulary(t.TEXTS * 50, units='bpe', size=120).plain()))"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"RAYON_NUM_THREADS": threads, "PYTHONPATH": ":".join(sys.path), "PYTHONHASHSEED": threads},
            capture_output=True,
            check=True,
        ).stdout
        for threads in ("1", "4")
    }
    assert len(outputs) == 1
    assert json.loads(outputs.pop()) == build_vocabulary(TEXTS * 50, units="bpe", size=120).plain()


def test_too_many_characters_for_the_size():
    with pytest.raises(OptionError, match=r"size: got 5, but the texts have 4 different characters"):
        BytePairVocabulary.of(["abc"], size=5)
    with pytest.raises(DataError, match="hold no word"):
        BytePairVocabulary.of(["", " "], size=100)


def test_only_learning_needs_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    vocabulary = read_vocabulary(KINDS["bpe"].plain())
    assert vocabulary.decode(vocabulary.encode(TEXTS[0])) == TEXTS[0]
    with pytest.raises(MissingExtraError, match=r"pip install 'foveate\[text\]'"):
        build_vocabulary(TEXTS, units="bpe")


def test_joint_vocabularies_are_one_and_the_same():
    first, second = build_vocabularies(TEXTS[:2], TEXTS[2:], joint=True)
    assert first is second and {"Zwei", "dog"} <= set(first.words)
    first, second = build_vocabularies(TEXTS[:2], TEXTS[2:])
    assert "Zwei" in first.words and "Zwei" not in second.words


def test_split_goes_with_words_alone():
    with pytest.raises(OptionError, match="split"):
        build_vocabulary(TEXTS, units="bpe", split="spaces")


WORDS, PARTS = KINDS["words"].plain(), KINDS["bpe"].plain()


@pytest.mark.parametrize(
    ("plain", "where", "says"),
    [
        (None, "vocabulary", "values by name"),
        ([], "vocabulary", "values by name"),
        ({}, "vocabulary.kind", "one of 'words', 'bpe'"),
        ({**WORDS, "kind": "pickle"}, "vocabulary.kind", "one of"),
        ({"kind": "words"}, "vocabulary.", "a value"),
        ({**WORDS, "words": "abc"}, "vocabulary.words", "several values"),
        ({**WORDS, "words": []}, "vocabulary.words", "1 to"),
        ({**WORDS, "words": ["a", 7]}, "vocabulary.words[1]", "text"),
        ({**WORDS, "words": ["a", "b", "a"]}, "vocabulary.words[2]", "once"),
        ({**WORDS, "words": ["a", ""]}, "vocabulary.words[1]", "a word"),
        ({**WORDS, "words": ["a b"]}, "vocabulary.words[0]", "white space"),
        ({**WORDS, "words": ["\ud800"]}, "vocabulary.words[0]", "a word"),
        ({**WORDS, "words": ["x" * 1001]}, "vocabulary.words[0]", "1000 characters"),
        ({**WORDS, "lower": 1}, "vocabulary.lower", "True or False"),
        ({**WORDS, "split": "letters"}, "vocabulary.split", "one of"),
        ({**WORDS, "min_count": 0}, "vocabulary.min_count", "at least 1"),
        ({**PARTS, "letters": ["ab"]}, "vocabulary.letters[0]", "one character"),
        ({**PARTS, "letters": ["a", "a"]}, "vocabulary.letters[1]", "once"),
        ({**PARTS, "merges": ["日 本"]}, "vocabulary.merges[0]", "known parts"),
        ({**PARTS, "merges": ["a"]}, "vocabulary.merges[0]", "known parts"),
        ({**PARTS, "merges": ["a b c"]}, "vocabulary.merges[0]", "known parts"),
        ({**PARTS, "merges": ["a e", "a e"]}, "vocabulary.merges[1]", "once"),
        ({**PARTS, "merges": [["a", "e"]]}, "vocabulary.merges[0]", "text"),
    ],
)
def test_damaged_vocabularies_are_refused(plain, where, says):
    with pytest.raises(Misfit) as caught:
        read_vocabulary(plain)
    assert caught.value.path.startswith(where) and says in caught.value.expected


def test_a_line_without_spaces_is_encoded_soon():
    text = "0123456789abcdef" * 5000
    vocabulary = build_vocabulary([text], units="bpe", size=60)
    assert vocabulary.decode(vocabulary.encode(text)) == text
