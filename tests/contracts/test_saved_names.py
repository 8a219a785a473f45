"""Weights saved by an earlier version load: the names in a mechanism's state never change.

``saved_names.json`` holds the names of each default build. A new mechanism adds its line; an existing line
stays as it is, or old checkpoints are lost.
"""

from __future__ import annotations

import json
from pathlib import Path

from tests.contracts.contract import NAMES, new

SAVED = json.loads(Path(__file__).with_name("saved_names.json").read_text(encoding="utf-8"))


def test_the_names_of_saved_weights_are_what_they_were() -> None:
    found = {name: " ".join(new(name, jitter=False, device="meta").state_dict()) for name in NAMES}
    changed = {name: names for name, names in found.items() if names != SAVED.get(name)}
    assert not changed and found.keys() == SAVED.keys()
