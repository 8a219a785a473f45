"""Plain English: phrases that are word-for-word translations, and what to write instead."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

CALQUES = {  # pattern -> what a native writer would say
    r"(?<!there\s)\b(is|are) no (?!longer|more|less|fewer|better|worse|larger|smaller|finer)\w": "is not a …",
    r"\bshall\b": "should, must or will",
    r"\bmend(s|ed|ing)?\b": "fix",
    r"\b(give|gives|given|gave) leave\b": "grant permission",
    r"\banew\b": "again",
    r"\bas many as\b": "the same number as",
    r"\b(is|are|be|been|was|were) told\b": "is reported, recognised or known",
    r"\b(say|says|said) of\b": "says about",
    r"\bin silence\b": "silently",
    r"\bof before\b": "earlier, previous",
    r"\bdiffers? nothing\b": "Differs none",
    r"\bstands? (above|below|beside|behind|before|in front|in the|in its)\b": "is, follows or precedes",
    r"\b(one|path|score|class) an? (class|image|item|line|mask|object|picture|pixel|seed|step)\b": "… per …",
    r"\bso many (axes|channels|classes|labels|pixels|scores)\b": "that many",
    r"\ballows? to\b": "lets …, makes it possible to",
    r"\b(go|goes|going|went) on (from|where|at|there)\b": "resume, continue",
    r"\bput together (from|of|out)\b": "composed of, computed from",
}


def pages():
    """Yield every page, source and template: error messages, help texts and docstrings are read too."""
    yield from (ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md"))
    yield from sorted((ROOT / "docs").rglob("*.md"))
    yield from sorted(path for path in (ROOT / "src").rglob("*") if path.suffix in {".py", ".j2"})


def calques(text):
    """Yield the line number, the phrase and what to write instead, for each calque of a text."""
    text = text.lower()  # much faster than to ignore the case
    for pattern, better in CALQUES.items():
        for found in re.finditer(pattern.replace(" ", r"\s+"), text):
            yield text.count("\n", 0, found.start()) + 1, " ".join(found[0].split()), better


def test_no_page_is_translated_word_for_word():
    found = [
        f'{page.relative_to(ROOT)}:{line}: "{phrase}". Write: {better}'
        for page in pages()
        for line, phrase, better in calques(page.read_text(encoding="utf-8"))
    ]
    assert not found, "\n".join(["", *found])


@pytest.mark.parametrize(
    ("text", "phrases"),
    [
        ("It is no\nmap, and shall be mended.", ["is no m", "shall", "mended"]),
        ("There is no such file; it is no longer read, and is no larger than that.", []),
        ("The error is told; one a line.", ["is told", "one a line"]),
    ],
)
def test_a_calque_would_be_found(text, phrases):
    assert [phrase for _, phrase, _ in calques(text)] == phrases
