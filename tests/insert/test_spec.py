"""Specs are read, printed and read again exactly; what cannot be read is quoted."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foveate.errors import SpecError
from foveate.insert.spec import Spec, Term, parse

names = st.from_regex(r"[a-z_][a-z0-9_]{0,12}", fullmatch=True)
sites = st.from_regex(r"[\w*?-]{1,6}(\.[\w*?-]{1,6}|\[[0-9]-?[0-9]\]){0,3}", fullmatch=True)
plain = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=12)
values = plain | st.tuples(plain) | st.lists(plain | st.tuples(plain, plain), max_size=3).map(tuple)
options = st.lists(st.tuples(names, values), max_size=3, unique_by=lambda pair: pair[0]).map(tuple)
terms = st.builds(Term, names, options, st.sampled_from(["after", "before", "replace"]), sites)
specs = st.lists(terms, min_size=1, max_size=3).map(lambda found: Spec(tuple(found)))


@settings(max_examples=30)
@given(specs)
def test_every_spec_is_read_back_from_its_print(spec: Spec) -> None:
    assert parse(str(spec)) == spec
    assert str(parse(str(spec))) == str(spec)


@pytest.mark.parametrize(
    ("text", "term"),
    [
        ("se@blocks", Term("se", (), "after", "blocks")),
        (
            " se ( reduction = 8 ) @ before: layer[34].* ",
            Term("se", (("reduction", 8),), "before", "layer[34].*"),
        ),
        ("eca@replace:*.se", Term("eca", (), "replace", "*.se")),
        ("eca@after:blocks.[0-5]", Term("eca", (), "after", "blocks.[0-5]")),
        (
            "control(like=se, bias=False)@pool",
            Term("control", (("like", "se"), ("bias", False)), "after", "pool"),
        ),
        (
            "csra(temperatures=[1, 99.0])@output",
            Term("csra", (("temperatures", (1, 99.0)),), "after", "output"),
        ),
        ('se(mode="a+b@c,(")@x', Term("se", (("mode", "a+b@c,("),), "after", "x")),
        ("se(lam=-1e-3)@x", Term("se", (("lam", -0.001),), "after", "x")),
        (
            "se(of=unet(encoder=timm/a, n=2))@x",
            Term("se", (("of", "unet(encoder=timm/a, n=2)"),), "after", "x"),
        ),
    ],
)
def test_a_term_is_read(text: str, term: Term) -> None:
    assert parse(text) == Spec((term,))


def test_terms_are_joined_by_plus() -> None:
    assert [str(term) for term in parse("se(a=1e+3)@x + eca@y").terms] == ["se(a=1000.0)@x", "eca@y"]


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ("", "''"),
        ("se", '"se"'),
        ("se@", '"se@"'),
        ("@blocks", '"@blocks"'),
        ("SE@blocks", '"SE@blocks"'),
        ("se@blocks+", '""'),
        ("se@behind:x", '"behind:"'),
        ("se@a b", '"a b"'),
        ("se@x@y", '"se@x@y"'),
        ("se(reduction)@x", '"reduction"'),
        ("se(reduction=)@x", '"reduction="'),
        ("se(reduction=8@x", "a \\) is missing"),
        ("se(a='x)@x", "a ' is missing"),
        ("se(a=1, a=2)@x", "given twice"),
        ("se(a=open('f'))@x", "open"),
        ("se(a={1: 2})@x", "{1: 2}"),
        ("se(a=b.c)@x", "b.c"),
    ],
)
def test_what_is_no_spec_is_quoted(text: str, quoted: str) -> None:
    with pytest.raises(
        SpecError, match=quoted.replace("(", "[(]").replace("{", "[{]") if "\\" not in quoted else quoted
    ):
        parse(text)


def test_nothing_is_evaluated(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SpecError):
        parse("se(a=__import__('builtins').print('ran'))@x")
    assert not capsys.readouterr().out
