"""Lists for Penn Treebank tokens: abbreviations, words with an apostrophe, signs and what they become."""

from __future__ import annotations

import re
import unicodedata
from functools import cache

PUNCTUATION = frozenset("'' ' `` ` -LRB- -RRB- -LCB- -RCB- . ? ! , : - -- ... ;".split())
"""What coco-caption drops. Its brackets are in capitals but the words are not, so that brackets are kept."""

ABBREVIATIONS = """
adj adm adv al ala alex apr ariz assn assoc asst atty aug ave bancorp bhd bldg blvd brig bros calif capt
cf cie cmdr co col colo comdr conn corp cos cpl ct dak dec dept det dr drs elec ens esq est etc ext feb
fla fri ft ga gen gov govs hon inc ind insp intl invt jan jos jr jul jun kan kans ky lieut lt ltd maj mar
md messrs mfg mich minn mlle mme mo mon mont mr mrs ms msgr mt mtg natl neb nev nov oct okla penn pfc ph
ph.d plc ppte ppty pres prof profs pte ptes pty ptys pvt rd rep reps rev rt sen sens sep sept seq sfc sgt
spc sq sr st ste supt sys tel tenn thu thurs treas tue tues univ va vs vt wed wis wisc wm wyo
""".split()
STATES = "Ark Az Del Ill La Mass Miss Ore Pa Tex Wash".split()
"""Abbreviations only with a capital: the others are words."""

NUMBERED = "art ca fig figs no nos op pp prop".split()
"""Abbreviations only in front of a number."""

STARTERS = """
A About According Additionally After An As At But He Her Here However If In It Last Many More Now Once
One Other Our She Since So Some Such That The Their Then There These They This We What When While Yet You
""".split()
"""Words that start a sentence: a single letter with a dot in front of one is not an abbreviation."""

PAIRS = dict.fromkeys(("cannot", "gonna", "wanna", "gotta", "lemme", "gimme"), 3) | {"'tis": 2, "'twas": 2}
"""Two words in one, with the length of the first."""

CLITICS = ["s", "m", "d", "re", "ve", "ll"]
APOSTROPHE_WORDS = """
l' d' j' ol' dunkin' somethin' c'est d'ye c'mon cap'n e'er ev'ry li'l nat'l s'mores nor'easter shi'ite
""".split()
"""Words that keep their apostrophe and follow from no rule."""

FILES = """
bat bmp c cgi class cpp dll doc docx exe gif gz h htm html jar java jpeg jpg mov mp3 pdf php pl png ppt
ps py sql tar txt wav x xml zip
""".split()
"""What the name of a file ends in."""

ACCENTED = "&[aeiou](?:acute|grave|uml);"
ENTITIES = {
    "&amp;": "&",
    "&lt;": "<",
    "&gt;": ">",
    "&quot;": "''",
    "&apos;": "'",
    "&mdash;": "--",
    "&nbsp;": ".",
}
SIGNS = dict(
    [
        *zip("()[]{}", "-lrb- -rrb- -lsb- -rsb- -lcb- -rcb-".split(), strict=True),
        *zip("£€₠¤\x80¢", "# $ $ $ $ cents".split(), strict=True),
        *zip("¼½¾⅓⅔", "1/4 1/2 3/4 1/3 2/3".split(), strict=True),
        *dict.fromkeys("\"'`‘’“”‛«»‹›\x91\x92\x93\x94", "'").items(),
        *dict.fromkeys("‒–—―\x96\x97\xad", "-").items(),
        *dict.fromkeys("…\x85", ".").items(),
    ]
)
"""What a single character becomes; all quotation marks and dashes are dropped in the end."""

VANISHING = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f\x81-\x84\x86-\x90\x95\x98-\x9f\u200b-\u200f\u2024\u2025\u2027-\u202f\u203c\u203d\u2043"
    "\u2045-\u206f\u2160-\u2188\u3007-\u3020\u309b\u309c\u20a1-\u20a3\u20a5-\u20ab\u20ad-\u20cf"
    "\ud800-\uf8ff\ufeff\ufffd\U00010000-\U0010ffff]"
)
"""Characters that are in none of the original's tables, such as emoji: they end a word and vanish."""


@cache
def letters() -> str:
    """Return the letters and combining marks as ranges of a regular expression."""
    found: list[list[int]] = [[0xAD, 0xAD]]  # a soft hyphen is part of its word
    for code in range(0x10000):
        if unicodedata.category(chr(code)) in {"Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc"}:
            if found[-1][1] == code - 1:
                found[-1][1] = code
            else:
                found.append([code, code])
    return "".join(f"\\u{first:04x}-\\u{last:04x}" for first, last in found)
