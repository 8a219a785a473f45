"""Splitting a text and joining it again is exact."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foveate.data.words.normal_text import normal
from foveate.data.words.split_text import GLUE, bare, join_pieces, split_text

TEXTS = st.text(st.sampled_from("abÄßé1290 .,:;-'’\"„“()!?#_\t\u00a0\u0302日本￭"), max_size=40)


@given(TEXTS)
def test_joining_undoes_splitting(text):
    text = normal(text)
    assert join_pieces(split_text(text)) == text.replace(GLUE, "■")


@given(TEXTS)
def test_no_letter_is_lost_or_added_and_no_piece_is_empty(text):
    pieces = split_text(normal(text))
    assert all(bare(piece) for piece in pieces)
    assert "".join(map(bare, pieces)) == normal(text).replace(" ", "").replace(GLUE, "■")


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("Two young men.", "Two young men ￭."),
        ('„Zwei" Männer, (drei)!', '„￭ Zwei ￭" Männer ￭, (￭ drei ￭) ￭!'),
        ("the man's dog doesn't bark, they'll see", "the man ￭'s dog doesn ￭'t bark ￭, they ￭'ll see"),
        ("l'homme d’un o'clock", "l'￭ homme d’￭ un o'￭ clock"),
        ("3.50 Euro um 10:30, 1,000,000 mal.", "3.50 Euro um 10:30 ￭, 1,000,000 mal ￭."),
        ("T-Shirt U-Bahn -", "T ￭-￭ Shirt U ￭-￭ Bahn -"),
        ("wait... what?!", "wait ￭... what ￭? ￭!"),
        ("2nd snake_case", "2nd snake_case"),
        ("", ""),
    ],
)
def test_rules(text, pieces):
    assert split_text(text) == pieces.split()


def test_a_word_is_the_same_with_and_without_marks():
    assert all("dog" in split_text(text) for text in ("dog.", '"dog"', "(dog)", "dog-house", "the dog's"))


def test_normal_form_composes_letters_and_unifies_spaces():
    assert normal("Ma\u0308nner\u00a0 und\tFrauen \n") == "Männer und Frauen"
    assert normal("ÄRGER", lower=True) == "ärger"
    assert normal("ÄRGER") == "ÄRGER"


def test_a_long_line_is_split_in_linear_time():
    text = "x'" * 100_000 + "." * 100_000 + "1," * 100_000  # quadratic patterns would take minutes
    assert join_pieces(split_text(text)) == text
