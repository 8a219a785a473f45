"""Words of a caption as coco-caption counts them: Penn Treebank tokens in lower case, without punctuation.

Rules   those of Stanford's PTBTokenizer (CoreNLP 3.4.1, ``-preserveLines -lowerCase``), on which published
        scores of captions are computed; coco-caption then drops 17 tokens of punctuation. Clitics are split
        off (do n't, dog 's); hyphenated words, numbers, abbreviations and addresses stay whole; brackets
        become -lrb- and so on, and stay.
How     at each place every rule is tried; the longest match counts, of equally long ones the first.
Checked against the original, which needs Java; docs/text-metrics.md names what differs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache, lru_cache

from foveate.tasks.metrics.text.ptb_words import (
    ABBREVIATIONS,
    ACCENTED,
    APOSTROPHE_WORDS,
    CLITICS,
    ENTITIES,
    FILES,
    NUMBERED,
    PAIRS,
    PUNCTUATION,
    SIGNS,
    STARTERS,
    STATES,
    VANISHING,
    letters,
)

Rule = tuple[re.Pattern[str], Callable[[re.Match[str]], str]]
"""A pattern, and the words that its match becomes, with spaces between them."""

_PLAIN = re.compile(r"[A-Za-z]+(?=\s|$)|[.,](?=\s|$)")
_SPACE = re.compile(r"\s+")


@lru_cache(maxsize=2**16)  # references are read again by every metric
def ptb_text(text: str) -> str:
    """Return the words of a caption with a space between them, as coco-caption passes them to its metrics.

    A number such as ``3 1/2`` stays one word, with a no-break space in it.

    Example:
        >>> ptb_text("A man's dog isn't barking; it's sleeping (at home).")
        "a man 's dog is n't barking it 's sleeping -lrb- at home -rrb-"
    """
    text = VANISHING.sub(" ", text)
    return " ".join(word for word in _words(text) if word not in PUNCTUATION)


def _words(text: str) -> Iterator[str]:
    place = 0
    while place < len(text):
        if found := _SPACE.match(text, place):
            place = found.end()
        elif (found := _PLAIN.match(text, place)) and found[0].lower() not in PAIRS:
            yield found[0].lower()
            place = found.end()
        else:
            words, place = _longest(text, place)
            yield from words.lower().split(" ")


def _longest(text: str, place: int) -> tuple[str, int]:
    """Return what the longest match at a place becomes, and where it ends."""
    best: re.Match[str] | None = None
    become: Callable[[re.Match[str]], str] = _itself
    for pattern, words in _rules(text[place].isalpha(), text[place].isdecimal()):
        found = pattern.match(text, place)
        if found and (best is None or _reach(found) > _reach(best)):
            best, become = found, words
    if best is None:
        return SIGNS.get(text[place], text[place]), place + 1
    return become(best), best.end()


def _reach(found: re.Match[str]) -> int:
    """Return where a match ends, what must follow it (its last group) included."""
    return max(found.end(), found.end(found.lastindex) if found.lastindex else 0)


def _itself(found: re.Match[str]) -> str:
    return found[0].replace("\xad", "") or "-"


def _straight(found: re.Match[str]) -> str:
    return "".join("'" if letter in "’\x92" else letter for letter in found[0].replace("&apos;", "'"))


def _in_two(found: re.Match[str]) -> str:
    """Split cannot, gonna, 'tis and the like."""
    first = PAIRS[found[0].lower()]
    return f"{found[0][:first]} {found[0][first:]}"


def _joined(found: re.Match[str]) -> str:
    """Keep a match with spaces in it one word, by no-break spaces; escape its brackets."""
    text = found[0].replace("(", "-lrb-").replace(")", "-rrb-")
    return re.sub(r"\s", "\xa0", text)


def _plain_and(found: re.Match[str]) -> str:
    return found[0].replace("&amp;", "&")


def _entity(found: re.Match[str]) -> str:
    return ENTITIES[found[0]]


def _any(words: list[str]) -> str:
    """Return a pattern of any of the words, longer ones first."""
    return "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))


@cache
def _rules(letter: bool, digit: bool) -> tuple[Rule, ...]:
    """Return the rules for what starts with a letter, a digit, or anything else."""
    if letter:
        return (*_of_words(), *_of_both())
    return (
        (*_of_numbers(), *_of_both()) if digit else (*_of_signs(), *_of_words(), *_of_numbers(), *_of_both())
    )


@cache
def _of_words() -> tuple[Rule, ...]:
    """Return the rules of what starts with a letter or an apostrophe."""
    a, x = f"(?:(?-i:[{letters()}])|{ACCENTED})", f"(?:(?-i:[{letters()}\\d])|{ACCENTED})"
    clitic = rf"(?:'|’|\x92|&apos;)(?:{_any(CLITICS)})(?!{a})"
    nt = rf"n(?:'|’|\x92|&apos;)t(?!{a})"
    elided = rf"[dolDOL]['’`‘‛]{x}"
    thing = rf"(?:{elided})?{x}+(?:[-_֊‐‑](?:{elided})?{x}+)*"
    return (
        _rule(rf"(?:{_any(list(PAIRS))})", _in_two),
        _rule(rf"{a}+?(?=({nt}))"),
        _rule(rf"{x}+(?=({clitic}))"),
        _rule(nt, _straight),
        _rule(clitic, _straight),
        _rule(rf"{a}{x}*(?:[.!?]{a}{x}*)*"),
        _rule(thing),
        _rule(rf"(?:{thing}|{a}{x}*(?:[.!?]{a}{x}*)*)\.(?=[,;:、])"),
        _rule(rf"(?:{_any(ABBREVIATIONS)})\."),
        _rule(rf"(?-i:{_any([f for word in STATES for f in (word, word.upper())])})\."),
        _rule(rf"(?:{_any(NUMBERED)})\.(?=\s*\d)"),
        _rule(r"[A-Za-z](?:\.[A-Za-z])+(?:\.|(?=-))(?:-" + x + "+)*"),
        _rule(r"[A-Za-z]+-[A-Za-z](?:\.[A-Za-z])+\."),
        _rule(rf"[A-Za-z]\.(?!\s+(?-i:{_any(STARTERS)})(?:\s|$))(?!\.\.(?!\.))"),
        _rule(r"(?-i:[A-Z]+(?:(?:[+&]|&amp;)[A-Z]+)+)", _plain_and),
        _rule(r"c\+\+|[cf]#"),
        _rule(rf"(?-i:[A-HJ-XZn]['’`‘‛]{a}{{2,}})"),
        _rule(rf"(?-i:{a}+[aeiouyAEIOUY]['’`‘‛][aeiouA-Z]{a}*)"),
        _rule(rf"(?:{_any(APOSTROPHE_WORDS)})".replace("'", "['’]")),
        _rule(rf"[yY]['’](?={a})"),
        _rule(r"['’](?:n['’]|n(?=\s|$)|em|till?|cause|[2-9]0s|\d\d(?=\s|$))"),
        _rule(r"(?:anti|pro)-|S&P-500"),
        _rule(r"(?-i:[A-Z]*\$)"),
    )


@cache
def _of_numbers() -> tuple[Rule, ...]:
    """Return the rules of what starts with a digit or its sign: numbers, fractions, numbers of telephones."""
    x, gap = f"(?-i:[{letters()}\\d])", "[- \xa0]"
    return (
        _rule(r"[-+]?(?:\d*(?:[.:,]\d+)+|\d+)"),
        _rule(rf"(?:\d{{1,4}}{gap})?\d{{1,4}}\\?/\d{{1,4}}", _joined),
        _rule(rf"\(\d{{2,3}}\)[ \xa0]?\d{{3,4}}{gap}?\d{{3,5}}", _joined),
        _rule(rf"\+{{0,2}}(?:\d{{2,4}}{gap})?\d{{2,4}}{gap}\d{{3,4}}{gap}?\d{{3,5}}", _joined),
        _rule(r"(?:\+{0,2}\d{2,4}\.)?\d{2,4}\.\d{3,4}\.\d{3,5}"),
        _rule(rf"{x}+(?:[-_֊‐‑](?:[dolDOL]['’`‘‛]{x})?{x}+)*"),
        _rule(rf"{x}+(?:[-_֊‐‑]{x}+)*\.(?=[,;:、])"),
    )


@cache
def _of_both() -> tuple[Rule, ...]:
    """Return the rules of addresses, files, and words with strokes, or with points and hyphens."""
    x, part = f"(?-i:[{letters()}\\d])", "[A-Za-z0-9]+(?:-[A-Za-z]+){0,2}"
    inner = r"[^\s\"<>|()]+[^\s\"<>|.!?(){},-]"
    host = r"[^\s\"<>|.!?(){},]+\."
    return (
        _rule(rf"{part}(?:\\?/{part}){{1,2}}"),
        _rule(rf"{x}+(?:[.,]{x}+)+(?:-{x}+)+"),
        _rule(rf"{x}+(?:\.{x}+)*\.(?:{_any(FILES)})(?=\s|$|[.?!,\"])"),
        _rule(rf"https?://{inner}"),
        _rule(
            rf"(?:www\.(?:{host})+[a-z]{{2,4}}|(?:(?-i:[^\s\"`'|!(){{}}$,-_]+)\.)+(?:com|net|org|edu))(?:/{inner})?"
        ),
        _rule(r"[A-Za-z0-9][^\s\"<>|()]*@(?:[^\s\"<>|().]+\.)*[^\s\"<>|().]+"),
    )


@cache
def _of_signs() -> tuple[Rule, ...]:
    """Return the rules of what starts with none of these: tags, smileys, runs of signs."""
    a = f"(?-i:[{letters()}])"
    name, value = "[A-Za-z][A-Za-z0-9_:.-]*", "\\s*=\\s*(?:\"[^\"]*\"|'[^']*')"
    return (
        _rule(rf"<(?:[!?][A-Za-z-][^>]*|/?{name}(?:\s+{name}(?:{value})?)*\s*/?\s*)>", _joined),
        _rule(r"<[A-Za-z0-9][^\s\"<>|()]*@(?:[^\s\"<>|().]+\.)*[^\s\"<>|().]+>"),
        _rule(rf"(?-i:[<>]?[:;=][-o*']?[()DPdpO\\{{@|\[\]])(?!{a}|\d)", _joined),
        _rule(r"(?:[-^=~<>']_[-^=~<>']|\([-^=~<>'][_.]?[-^=~<>']\))", _joined),
        _rule(rf"@[A-Za-z]+|#{a}+"),
        _rule(r"[?!]+|(?:\\?[*])+|#+|@+|_+"),
        _rule(r"-[LR][RSC]B-|<<|>>|&#\d+;"),
        _rule(r"-{2,4}(?!-)", lambda found: "--"),
        _rule(r"-{5,}"),
        _rule(r"\.{3,5}", lambda found: "..."),
        _rule(rf"(?:{_any(list(ENTITIES))})", _entity),
    )


def _rule(pattern: str, words: Callable[[re.Match[str]], str] = _itself) -> Rule:
    return re.compile(pattern, re.IGNORECASE), words
