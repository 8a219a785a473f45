"""What says that it differs in nothing has a test that holds it against somebody else's computation."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

from foveate.mechanisms.base import Mechanism, mechanisms

TESTS = Path(__file__).parents[1]
MECHANISMS = Path(inspect.getfile(Mechanism)).parent
MODELS = MECHANISMS.parent / "models"
CLAIM = re.compile(r"(?:^|[.:;]\s)nothing\b|^none\b")  # "Differs none"
ORACLES = ("equal", "close", "==")  # how a test compares numbers


def differs(path: Path) -> str:
    """Return what a file's header says it differs in, on one line; empty without the line."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    match = re.search(r"^Differs (.*(?:\n +.*)*)", text, re.MULTILINE)
    return " ".join(match[1].split()) if match else ""


def files() -> dict[str, Path]:
    """Return the files of mechanisms, by name, and of models, by folder and name."""
    found = {name: MECHANISMS / f"{cls.__module__.split('mechanisms.')[1].replace('.', '/')}.py"
             for name, cls in mechanisms.items()}  # fmt: skip
    return found | {f"{path.parent.name}.{path.stem}": path for path in MODELS.glob("*/*.py")}


def parity_tests() -> dict[str, list[str]]:
    """Return the source of the tests that name a file as one whose parity they hold."""
    found: dict[str, list[str]] = {}
    for path in TESTS.rglob("test_*.py"):
        text = path.read_text(encoding="utf-8")
        if "mark.parity(" not in text:
            continue
        for node in ast.parse(text).body:
            for mark in node.decorator_list if isinstance(node, ast.FunctionDef) else ():
                if isinstance(mark, ast.Call) and ast.unparse(mark.func).endswith("mark.parity"):
                    for name in mark.args:
                        found.setdefault(ast.literal_eval(name), []).append(ast.unparse(node))
    return found


FILES, TESTED = files(), parity_tests()
CLAIMING = sorted(name for name, path in FILES.items() if CLAIM.search(differs(path)))


def test_the_registries_are_read() -> None:
    assert len(CLAIMING) > 30
    assert {"cbam", "segmentation.danet"} <= set(CLAIMING)
    assert not {"se", "segmentation.bisenet"} & set(CLAIMING)


def test_what_differs_in_nothing_has_a_parity_test() -> None:
    untested = [name for name in CLAIMING if name not in TESTED]
    assert not untested, 'mark the test that compares it with the original: @pytest.mark.parity("its name")'


def test_parity_is_held_of_files_there_are_by_tests_that_compare() -> None:
    assert set(TESTED) <= set(FILES)
    helpers = ("same_output(", "same(")
    for name, sources in TESTED.items():
        assert all(any(word in source for word in (*ORACLES, *helpers)) for source in sources), name
