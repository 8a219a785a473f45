"""Compare what a page or a help text shows with what a command prints."""

import re
import shlex


def commands(text):
    """Yield (words after foveate, the output shown) for each ``$ foveate ...`` in a text."""
    for entry in re.split(r"^ *\$ ", re.sub(r" *\\\n *", " ", text), flags=re.MULTILINE)[1:]:
        command, _, output = entry.partition("\n")
        words = shlex.split(command, comments=True)
        if words and words[0] == "foveate":
            yield words[1:], output


def assert_shown(shown, printed, where):
    """Every line shown is printed, in this order; ``...`` stands for lines left out."""
    lines = iter([" ".join(line.split()) for line in printed.splitlines()])
    for line in shown.splitlines():
        wanted = " ".join(line.split())
        if wanted and wanted != "...":
            assert wanted in lines, (
                f'{where}\ndoes not print, after what stands before it:\n  "{wanted}"\n{printed}'
            )
