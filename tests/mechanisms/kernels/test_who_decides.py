"""Which path is taken, fast or plain, is for the kernels to decide: no mechanism asks."""

from __future__ import annotations

import ast
from pathlib import Path

from foveate.mechanisms import base

HOME = Path(base.__file__).parent
FILES = [path for path in HOME.glob("*/*.py") if path.parent.name != "kernels"]
ASKING = set(
    "_forward_hooks channels_last eager_cpu fusing is_autocast_enabled is_compiling is_dynamo_compiling "
    "is_exporting is_grad_enabled is_tracing plain recording traced".split()
)


def asked(source: str) -> set[str]:
    """Return the questions about the path that a file asks."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute):
            found.add(node.attr)
            if ast.unparse(node).endswith("device.type"):
                return {"device.type"}
        elif isinstance(node, ast.Name):
            found.add(node.id)
        elif isinstance(node, ast.ImportFrom):
            found |= {(node.module or "").rpartition(".")[2]}
    return found & ASKING


def test_questions_are_seen() -> None:
    assert asked("if x.device.type == 'cpu': y") == {"device.type"}
    assert asked("if plain(x) or self.map.recording: y") == {"plain", "recording"}
    assert asked("from foveate.mechanisms.kernels.eager_cpu import total") == {"eager_cpu"}
    assert not asked("x = type(y)(z.dtype)")


def test_no_mechanism_asks_for_the_path() -> None:
    assert len(FILES) > 85
    found = {path.stem: asked(path.read_text(encoding="utf-8")) for path in FILES}
    assert not {stem: names for stem, names in found.items() if names}, "let a function of kernels/ decide"
