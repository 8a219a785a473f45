"""Penn Treebank words of captions, against the original: ``ptb_tokens.json`` was made with CoreNLP 3.4.1."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foveate.tasks.metrics.text.ptb_tokens import ptb_text
from tests.each import each
from tests.tasks.metrics.text.archives import fixture, flickr_captions


@each(fixture("ptb_tokens.json")["rows"])
def test_odd_sentences_have_the_words_of_the_original(row):
    assert ptb_text(row["text"]) == row["kept"]


@each(entry for split in fixture("ptb_flickr8k.json")["splits"].values() for entry in split["differ"])
def test_captions_that_are_no_plain_split_have_the_words_of_the_original(entry):
    assert ptb_text(entry["text"]) == entry["kept"]


# Seen in the output of the original, CoreNLP 3.4.1, beyond the fixture.
SEEN = {
    "3 1/2 cups": "3\xa01/2 cups",
    "½ a mile, 3½ cups": "1/2 a mile 3 1/2 cups",
    "Call (555) 123-4567": "call -lrb-555-rrb-\xa0123-4567",
    "6:30-7:15 10:30am #23 US$5": "6:30 -7:15 10:30 am # 23 us$ 5",
    "Cannot gonna wanna gotta lemme gimme": "can not gon na wan na got ta lem me gim me",
    "'Tis 'twas rock 'n' roll 'em 'till 'cause '60s": "'t is 't was rock 'n' roll 'em 'till 'cause '60s",
    "Hey!!! what?? huh?! ok!": "hey !!! what ?? huh ?! ok",
    "He left at 5 p.m. He lives in the U.S. now": "he left at 5 p.m. he lives in the u.s. now",
    "plan B. The plan": "plan b the plan",
    "J. K. Rowling, J.K. Rowling": "j. k. rowling j.k. rowling",
    "smile\U0001f600face \u200bzero\u200bwidth": "smile face zero width",
    "co\xadoperate e\u0301t\u00e9 \ufb01ne": "cooperate e\u0301t\u00e9 \ufb01ne",
    "don\u2019t I\u2019m dogs\u2019": "do n't i 'm dogs",
    "can't've y'all'll I'd've": "ca n't 've y' all 'll i 'd 've",
    ":) :-( x ;D =P": ":-rrb- :--lrb- x ;d =p",
    '<a href="x"> <b>x</b> a<b': '<a\xa0href="x"> <b> x </b> a < b',
    "the dog., the end.": "the dog. the end",
    "Ark. Noah's ark. Etc.": "ark. noah 's ark etc.",
    "[a] {b} -LRB-": "-lsb- a -rsb- -lcb- b -rcb- -lrb-",
    "a 2.5-inch, 1,000-pound 18-wheeler": "a 2.5-inch 1,000-pound 18-wheeler",
    "AT&T a&b C++ c# a/b/c/d": "at&t a & b c++ c# a/b/c / d",
}


@each(SEEN.items())
def test_rules_of_the_original(seen):
    assert ptb_text(seen[0]) == seen[1]


@given(st.text(alphabet=st.sampled_from("aB1'.,-!?()<>&/$#@:; é\xad½…\n\t😀"), max_size=40))
def test_any_text_becomes_words_with_single_spaces(text):
    found = ptb_text(text)
    assert found == found.lower() and "  " not in found and found == found.strip(" ")
    assert not set(found.split(" ")) & {".", ",", "!", "?", "''", "'"}


@given(st.lists(st.text(alphabet="abcxyz", min_size=1, max_size=6), max_size=8))
def test_plain_words_stay(words):
    assert ptb_text(" ".join(words)) == " ".join(words)


@pytest.mark.data
def test_every_caption_of_flickr8k_has_the_words_of_the_original():
    for split, known in fixture("ptb_flickr8k.json")["splits"].items():
        kept = "\n".join(ptb_text(text) for captions in flickr_captions(split) for text in captions)
        assert hashlib.sha256(kept.encode()).hexdigest() == known["sha256"], split
