"""The visible files below a folder, scanned once: every layout is recognised from them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from foveate.data.folders.walk import visible_files, walk
from foveate.data.images.open_image import IN_PARTS, SUFFIXES


@dataclass(eq=False)
class Tree:
    """A folder with the names of its own files, and its folders.

    Args:
        path: Where it is.
        names: Of the visible files that lie in it directly, sorted.
        folders: Its visible folders by name, sorted.
        links: Names of visible links in it that lead back to it or to a folder above.
        also: Endings of further files that are images.
    """

    path: Path
    names: list[str]
    folders: dict[str, Tree] = field(default_factory=dict)
    links: list[str] = field(default_factory=list)
    also: frozenset[str] = frozenset()

    @cached_property
    def own_images(self) -> tuple[Path, ...]:
        """Return the files directly in it that have the ending of an image."""
        return tuple(self.path / name for name in self.names if is_image(name, self.also))

    @cached_property
    def count(self) -> int:
        """Return how many images are in it, at any depth."""
        return len(self.own_images) + sum(folder.count for folder in self.folders.values())

    @cached_property
    def filled(self) -> dict[str, Tree]:
        """Return its folders that hold images, at any depth."""
        return {name: folder for name, folder in self.folders.items() if folder.count}

    def images(self) -> Iterator[Path]:
        """Yield the images in it, at any depth."""
        yield from self.own_images
        for folder in self.folders.values():
            yield from folder.images()

    def files(self) -> Iterator[Path]:
        """Yield all files in it, at any depth."""
        yield from (self.path / name for name in self.names)
        for folder in self.folders.values():
            yield from folder.files()

    def links_back(self) -> Iterator[Path]:
        """Yield the links in it, at any depth, to the folder that they lie in or to one above."""
        yield from (self.path / name for name in self.links)
        for folder in self.folders.values():
            yield from folder.links_back()


def scan(root: Path, *, large: bool = False) -> Tree:
    """Return the tree below a folder.

    Args:
        root: The folder.
        large: Whether files count that are read in parts alone, such as slides.

    Raises:
        DataError: a folder cannot be read.
    """
    trees: dict[str, Tree] = {}
    also = IN_PARTS if large else frozenset()
    for place, links, names in walk(root):
        tree = trees[place] = Tree(Path(place), sorted(names), links=links, also=also)
        above, name = os.path.split(place)
        if above in trees:
            trees[above].folders[name] = tree
    return trees[os.fspath(root)]


def image_files(folder: Path) -> list[Path]:
    """Return visible files at any depth that have the ending of an image.

    Raises:
        DataError: a folder cannot be read.
    """
    return [file for file in visible_files(folder) if file.suffix.lower() in SUFFIXES]


def is_image(name: str, also: frozenset[str] = frozenset()) -> bool:
    """Return whether a file has the ending of an image, or one of further endings."""
    ending = name[len(stem_of(name)) :].lower()
    return ending in SUFFIXES or ending in also


def stem_of(name: str) -> str:
    """Return a file's name without its ending."""
    return os.path.splitext(name)[0]  # noqa: PTH122  # a Path takes ten times as long


def held(tree: Tree) -> str:
    """Say what a folder holds, for an error."""
    folders = [f"{name} ({folder.count} images)" for name, folder in list(tree.folders.items())[:8]]
    return f"Found {', '.join(folders) or 'no folders'}; {len(tree.own_images)} images in the folder itself."
