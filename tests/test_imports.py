"""Imports point one way, and the light doors are light."""

import ast
import functools
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "foveate"

# What the files of each room may import. A room may always import itself.
GROUND = {
    "errors",
    "registry",
    "calls",
    "options",
    "files",
    "inputs",
    "model_names",
    "nested_tensors",
    "tensor_file",
    "trust",
    "typed",
    "user_code",
    "spelling",
    "recipe",
    "running",
    "plugins",
    "quantities",
    "large_pictures",
    "entry_points",
    "version",
}
BELOW_INSERT = GROUND | {"mechanisms"}
BELOW_MODELS = BELOW_INSERT | {"insert"}
BELOW_DATA = BELOW_MODELS | {"models"}
BELOW_TASKS = BELOW_DATA | {"data", "segment", "detect", "decoding", "sampling", "explain", "cost"}
BELOW_INFER = BELOW_TASKS | {"tasks"}
BELOW_TRAIN = BELOW_INFER | {"infer"}
BELOW_COMPARE = BELOW_TRAIN | {"train"}
MAY_IMPORT = {
    "errors": set(),
    "registry": {"errors", "entry_points"},
    "entry_points": set(),
    "version": set(),
    "plugins": {"errors", "user_code"},
    "calls": {"errors"},
    "options": {"errors", "typed"},
    "typed": {"errors"},
    "files": {"errors"},
    "user_code": {"errors", "trust"},
    "inputs": {"errors", "typed"},
    "model_names": set(),
    "nested_tensors": set(),
    "tensor_file": {"errors", "files"},
    "trust": {"errors"},
    "spelling": {"errors", "calls", "options", "registry"},
    "recipe": {"errors", "options"},
    "running": {"errors", "inputs"},
    "quantities": set(),
    "large_pictures": {"errors", "quantities"},
    "mechanisms": GROUND,
    "explain": BELOW_MODELS,
    "cost": BELOW_INSERT,
    "insert": BELOW_INSERT | {"cost"},
    "models": BELOW_MODELS,
    "data": BELOW_DATA,
    "segment": BELOW_DATA | {"data"},
    "detect": BELOW_DATA | {"data", "segment"},
    "decoding": BELOW_DATA,
    "sampling": BELOW_DATA | {"data"},
    "tasks": BELOW_TASKS,
    "infer": BELOW_INFER,
    "serve": BELOW_TRAIN,
    "train": BELOW_TRAIN,
    "compare": BELOW_COMPARE,
    "cli": BELOW_COMPARE | {"compare", "serve"},
    "__init__": {"errors", "version"} | BELOW_COMPARE | {"compare"},
    "__main__": {"cli"},
}
# From outside, `explain` and `cost` see one file of the mechanisms: what every mechanism is.
ONLY_BASE = {"explain", "cost"}
SWITCH = "foveate.mechanisms.switch"  # and the one that makes all of them run as written


def module_name(path):
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(source):
    """Yield (module, name or None) for every import of foveate, the late ones and those for types too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names if alias.name.split(".")[0] == "foveate")
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: imports are absolute"
            if node.module and node.module.split(".")[0] == "foveate":
                yield from ((node.module, alias.name) for alias in node.names)


def room_of(module):
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


@functools.cache
def files():
    """Return what each file of the package imports from it."""
    return {path: list(imported(path.read_text(encoding="utf-8"))) for path in PACKAGE.rglob("*.py")}


def back_arrows(imports):
    for path, arrows in imports.items():
        here = path.stem if path.parent == PACKAGE else path.relative_to(PACKAGE).parts[0]
        for module, name in arrows:
            there = room_of(module)
            if there == "__init__" and name not in (None, "__version__"):
                yield f"{path}: imports {name} from the package's front, not from where it lives"
            elif there not in ("__init__", here) and there not in MAY_IMPORT[here]:
                yield f"{path}: {here} may not import {there}"
            elif here in ONLY_BASE and module.count(".") > 2 and there == "mechanisms" and module != SWITCH:
                yield f"{path}: {here} may know what all mechanisms share, not {module}"


def test_no_back_arrow():
    assert list(back_arrows(files())) == []


def test_a_back_arrow_would_be_found():
    planted = {
        "mechanisms": "def f():\n    from foveate.insert.spec import parse",
        "cost": "from foveate.mechanisms.channel.se import SqueezeExcitation",
        "train": "from foveate import insert",
    }
    imports = {PACKAGE / room / "x.py": list(imported(source)) for room, source in planted.items()}
    assert len(list(back_arrows(imports))) == 3


def test_every_room_is_known():
    rooms = {p.name if p.is_dir() else p.stem for p in PACKAGE.iterdir() if p.is_dir() or p.suffix == ".py"}
    assert rooms - {"__pycache__"} <= set(MAY_IMPORT)


def graph(imports):
    """Return which module imports which, also late and for types only."""
    modules = {module_name(path) for path in imports}
    return {
        module_name(path): {
            f"{module}.{name}" if f"{module}.{name}" in modules else module for module, name in arrows
        }
        - {module_name(path)}
        for path, arrows in imports.items()
    }


def a_cycle(arrows):
    done, path = set(), []

    def visit(module):
        if module in path:
            return [*path[path.index(module) :], module]
        if module in done or module not in arrows:
            return None
        path.append(module)
        found = next((cycle for target in sorted(arrows[module]) if (cycle := visit(target))), None)
        path.pop()
        done.add(module)
        return found

    return next((cycle for module in sorted(arrows) if (cycle := visit(module))), None)


def longest_chain(arrows):
    """Return the longest chain of imports of a graph without cycles."""
    longest = {}

    def below(module):
        if module not in longest:
            chains = (below(target) for target in sorted(arrows.get(module, ())) if target in arrows)
            longest[module] = [module, *max(chains, key=len, default=[])]
        return longest[module]

    return max((below(module) for module in sorted(arrows)), key=len)


def test_no_chain_is_long():
    """A reader who follows imports from any file is at the ground after twelve files."""
    chain = longest_chain(graph(files()))
    assert len(chain) <= 12, " -> ".join(chain)
    assert longest_chain({"a": {"b", "c"}, "b": {"c"}, "c": {"d"}, "d": set()}) == ["a", "b", "c", "d"]


def test_no_basename_twice_on_a_floor():
    """A file's name says in its room which file it is."""
    twice = {}
    for path in PACKAGE.rglob("*.py"):
        room = path.relative_to(PACKAGE).parts[0]
        if path.parent != PACKAGE and not path.name.startswith("__"):
            twice.setdefault((room, path.name), []).append(path.parent.name)
    assert {key: homes for key, homes in twice.items() if len(homes) > 1} == {}


def test_no_cycle():
    assert a_cycle(graph(files())) is None
    assert a_cycle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]


HEAVY = (
    "torch",
    "numpy",
    "timm",
    "torchvision",
    "scipy",
    "sklearn",
    "matplotlib",
    "lightning_fabric",
    "jinja2",
)


@pytest.mark.parametrize(
    "doing",
    [
        "import foveate; foveate.FoveateError; dir(foveate)",
        "from foveate.cli.__main__ import main; main(['--help'])",
        "from foveate.cli.__main__ import main; main(['compare', '--help'])",
        "from foveate.cli.__main__ import main; main(['--version'])",
    ],
)
def test_nothing_heavy_is_imported(doing):
    code = f"import sys; {doing}; print([m for m in {HEAVY} if m in sys.modules], file=sys.stderr)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stderr.strip() == "[]"
