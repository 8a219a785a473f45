"""Sentences and captions of real sets; FOVEATE_DATA says where their archives are."""

import os
import tarfile
from pathlib import Path

import numpy as np
import pytest

from foveate.data.captions.check_captions import check_captions
from foveate.data.captions.open_captions import open_captions
from foveate.data.pairs.check_sentences import check_sentences
from foveate.data.pairs.open_pairs import open_pairs
from foveate.data.words.build_vocabularies import build_vocabulary
from foveate.data.words.normal_text import normal
from foveate.data.words.special import UNKNOWN

PLACE = Path(os.environ.get("FOVEATE_DATA", Path(__file__).parents[3] / "shared" / "data"))
pytestmark = [pytest.mark.data, pytest.mark.slow]


@pytest.fixture(scope="module")
def unpack(tmp_path_factory):
    def unpacked(name):
        found = sorted(PLACE.glob(f"{name}.tar*"))
        if not found:
            pytest.skip(f"no {name} in {PLACE}; set FOVEATE_DATA to the folder that has it")
        folder = tmp_path_factory.mktemp("real")
        with tarfile.open(found[0]) as archive:
            archive.extractall(folder, filter="data")
        return folder / name

    return unpacked


def test_multi30k_opens_is_sound_and_is_decoded_exactly(unpack):
    data = open_pairs(unpack("multi30k"), source="en", target="de")
    assert data.items == {"train": 29_000, "val": 1_014, "test": 1_000}
    found = {finding.kind: finding for finding in check_sentences(data)}
    assert {kind for kind, finding in found.items() if finding.severity != "note"} == {
        "duplicate_across_splits"  # a sentence of val that train has too
    }
    assert data.origin["notes"] == ["test is test_2016_flickr"]
    texts = list(data.splits["train"].target)
    for units in ("words", "bpe"):
        vocabulary = build_vocabulary(texts, units=units)
        for text in texts[::7]:
            assert vocabulary.decode(vocabulary.encode(text)) == normal(text)
        unknown = [vocabulary.encode(text).count(UNKNOWN) for text in data.splits["test"].target]
        assert (sum(unknown) == 0) == (units == "bpe")


def test_faults_that_were_planted_in_multi30k_are_found_and_swapped_languages_are_noticed(unpack):
    root = unpack("multi30k")
    data = open_pairs(root, source="de", target="fr")
    found = {finding.kind: finding.items for finding in check_sentences(data)}
    # Two German lines of the published set are "@@" alone.
    assert found["odd_ratio"] == ("train:16510", "train:16664")
    assert data.splits["train"].source[16509] == "@@"
    for name in root.glob("*.en.gz"):
        name.rename(root / name.name.replace(".en.", ".x."))
    for name in root.glob("*.de.gz"):
        name.rename(root / name.name.replace(".de.", ".en."))
    for name in root.glob("*.x.gz"):
        name.rename(root / name.name.replace(".x.", ".de."))
    swapped = check_sentences(open_pairs(root, source="en", target="de"))
    assert "swapped_languages" in {finding.kind for finding in swapped}


def test_flickr8k_opens_and_is_sound(unpack):
    data = open_captions(unpack("flickr8k_1k"))
    assert data.items == {"train": 700, "val": 100, "test": 100}
    assert all(len(some) == 5 for split in data.splits.values() for some in split.captions)
    assert {finding.kind for finding in check_captions(data)} == {"mixed_sizes"}
    # V of a published run on this set: words that training has three times, lower-cased, split at spaces
    words = build_vocabulary(data.texts(), min_count=3, lower=True, split="spaces")
    assert abs(len(words) - 1_062) < 30
    lengths = np.array([len(words.encode(text)) for text in data.texts()])
    assert 10 < lengths.mean() < 14
