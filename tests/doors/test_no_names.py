"""The frame knows no task: its files name neither a task nor a kind of truth nor a mask."""

import ast
import re
from pathlib import Path

from foveate.tasks.base import tasks

PACKAGE = Path(__file__).parents[2] / "src" / "foveate"
FRAME = ("train", "compare", "cli", "infer")
OWN_SUBJECT = {
    "cli/crf.py",  # the command for files of masks
    "cli/judge.py",  # the command that judges maps by true masks
    "infer/look.py",  # which has maps judged by true masks
    "compare/report/confusion.py",  # whose table has an HTML caption
}
CARDS = {"compare/report/cards.py", "compare/report/schema.py", "compare/report/result.py"}  # kinds of cards
OTHER_MEANING = {"question"}  # in these rooms it is the question that a study answers
TRUTHS = re.compile(r"\b(masks?|truths?|palette)\b")


def words_in(tree: ast.AST) -> set[str]:
    """Return the names and the texts of a file, without its docstrings."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, documented) and node.body and isinstance(node.body[0], ast.Expr)
    }
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            found.add(node.id)
        elif isinstance(node, ast.Attribute):
            found.add(node.attr)
        elif isinstance(node, ast.alias):
            found |= {*node.name.split(".")}
        elif isinstance(node, ast.ImportFrom):
            found |= {*(node.module or "").split(".")}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            found.add(node.value)
    return found


def names_in(source: str) -> set[str]:
    known = [name for name in tasks if not name.startswith("toy_") and name not in OTHER_MEANING]
    own = re.compile(rf"\b({'|'.join(known)})\b")
    return {word for word in words_in(ast.parse(source)) if own.search(word) or TRUTHS.search(word)}


def test_the_frame_names_no_task():
    found = {}
    for room in FRAME:
        for path in (PACKAGE / room).rglob("*.py"):
            name = path.relative_to(PACKAGE).as_posix()
            names = names_in(path.read_text(encoding="utf-8"))
            if name not in OWN_SUBJECT | CARDS and names:
                found[name] = names
    assert found == {}


def test_the_frame_imports_no_task_whose_name_has_another_meaning():
    for room in FRAME:
        for path in (PACKAGE / room).rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            assert not re.search(r"tasks\.(question)\b|tasks import Question", text), path


def test_a_name_would_be_found():
    assert names_in('if data.truth == "mask":\n    pass') == {"truth", "mask"}
    assert names_in("from foveate.tasks.segmentation import x") == {"segmentation"}
    assert names_in('def f():\n    """Look at masks."""') == set()
