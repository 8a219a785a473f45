"""Plug-ins: entries that other packages register, by a module's name or by an entry point."""

from __future__ import annotations

import pickle
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from foveate import entry_points, plugins
from foveate.entry_points import load_entry_points
from foveate.errors import OptionError, TrustError, UnknownNameError
from foveate.plugins import load_plugins, loaded_plugins
from foveate.registry import Registry
from foveate.trust import reading

REGISTERS = "from shape_registry import shapes\n@shapes.register('{name}')\nclass Shape: ...\n"


@pytest.fixture
def shapes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry[type]]:
    """A registry that modules in the current folder can import, in a process that has loaded no plug-in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(plugins, "_loaded", [])
    monkeypatch.setattr(entry_points, "_imported", set())
    registry = Registry[type]("shape", see="foveate list shapes")
    module = type(sys)("shape_registry")
    module.shapes = registry  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "shape_registry", module)
    yield registry
    for name in [name for name in sys.modules if name.startswith("plugin_")]:
        del sys.modules[name]


def announce(home: Path, package: str, entry: str, source: str) -> None:
    """Write a package and the metadata with which an installed one announces its plug-in."""
    (home / f"{package}.py").write_text(source)
    info = home / f"{package}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{entry_points.GROUP}]\n{entry} = {package}\n")


def test_plugins_are_imported_once_and_remembered_in_order(shapes: Registry[type], tmp_path: Path) -> None:
    for name in ("plugin_b", "plugin_a"):
        (tmp_path / f"{name}.py").write_text(REGISTERS.format(name=name))
    load_plugins(["plugin_b", "plugin_a"])
    load_plugins(["plugin_a"])
    assert loaded_plugins() == ("plugin_b", "plugin_a")
    assert list(shapes) == ["plugin_b", "plugin_a"]
    assert str(tmp_path) not in sys.path


@pytest.mark.parametrize("name", ["plugin_nowhere", "plugin_broken", "plugin_a:Gate", "../plugin", ""])
def test_what_cannot_be_imported_is_refused(shapes: Registry[type], tmp_path: Path, name: str) -> None:
    (tmp_path / "plugin_broken.py").write_text("import no_such_module")
    with pytest.raises(OptionError, match=rf'plug-in "{name}".*(Install its package|expected the name of a)'):
        load_plugins([name])
    assert loaded_plugins() == ()


def test_a_file_that_is_not_trusted_loads_no_plugin(shapes: Registry[type], tmp_path: Path) -> None:
    (tmp_path / "plugin_a.py").write_text(REGISTERS.format(name="disc"))
    with reading("config.json"), pytest.raises(TrustError, match="plugin_a"):
        load_plugins(["plugin_a"])
    with reading("config.json", trusted=True):
        load_plugins(["plugin_a"])
    assert "disc" in shapes


LOOK = {
    "get": lambda shapes: shapes["disc"],
    "in": lambda shapes: "disc" in shapes,
    "list": lambda shapes: list(shapes) == ["disc"],
    "len": lambda shapes: len(shapes) == 1,
}


@pytest.mark.parametrize("look", LOOK.values(), ids=LOOK)
def test_every_look_at_a_registry_sees_what_installed_packages_announce(
    shapes: Registry[type], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, look
) -> None:
    announce(tmp_path, "plugin_installed", "shapes", REGISTERS.format(name="disc"))
    monkeypatch.syspath_prepend(tmp_path)
    assert look(shapes)


def test_a_known_name_imports_nothing(shapes: Registry[type], tmp_path: Path, monkeypatch) -> None:
    announce(tmp_path, "plugin_installed", "shapes", "raise RuntimeError")
    monkeypatch.syspath_prepend(tmp_path)
    shapes.register("square")(int)
    assert shapes["square"] is int and "square" in shapes


def test_a_broken_plugin_is_skipped_with_one_warning(shapes, tmp_path: Path, monkeypatch) -> None:
    announce(tmp_path, "plugin_broken", "bad", "raise RuntimeError('too old')")
    announce(tmp_path, "plugin_installed", "good", REGISTERS.format(name="disc"))
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.warns(UserWarning, match=r'"bad" \(plugin_broken\) is skipped.*RuntimeError: too old'):
        assert list(shapes) == ["disc"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_entry_points()


def test_an_unknown_name_says_how_another_package_is_asked(shapes: Registry[type]) -> None:
    shapes.register("square")(int)
    with pytest.raises(UnknownNameError, match=r"Known: square\. See: .*--plugin package\.module") as caught:
        shapes["disc"]
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


@pytest.mark.slow  # imports the package once more
def test_a_model_of_an_installed_package_is_created_by_its_name(tmp_path: Path) -> None:
    source = (
        "from torch import nn\nfrom foveate.models.names import models\n"
        "@models.register('linear_plugin')\ndef build(*, classes): return nn.Linear(2, classes)\n"
    )
    announce(tmp_path, "plugin_models", "models", source)
    program = "import foveate as fv; print(fv.create_model('linear_plugin', classes=5).out_features)"
    words = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r}); {program}"]
    ran = subprocess.run(words, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "5"
