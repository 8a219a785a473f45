"""Every model that answers in words, small, with inputs: what the tests of their contract share."""

import torch

from foveate.models import create_model
from foveate.models.names import models

CLASSES = 9
FAMILIES = {  # of a name: small sizes, and what it takes
    "translator": ({"embedding": 4, "encoder_state": 3, "state": 5}, "words"),
    "rnn_search": ({"embedding": 4, "state": 5, "readout_width": 3}, "words"),
    "luong_translator": ({"embedding": 4, "state": 4, "layers": 2}, "words"),
    "show_attend_tell": ({"channels": 6, "embedding": 4, "state": 5}, "features"),
    "adaptive_captioner": ({"channels": 6, "width": 4}, "features"),
}
MODELS = {  # further forms of them
    **{name: (name, {}) for name in FAMILIES},
    "conditional": ("rnn_search", {"form": "conditional"}),
    "zero_start": ("rnn_search", {"form": "conditional", "pad": 0, "start": None, "end": 0}),
    "lstm": (
        "translator",
        {"cell": "lstm", "encoder_layers": 2, "summary": "last", "start_state": "linears"},
    ),
    "without_feeding": ("luong_translator", {"feeding": False, "cell": "gru"}),
    "marginal": ("translator", {"choice": "marginal(choose=marginal)"}),
    "monotonic": ("translator", {"choice": "monotonic"}),
    "authors": ("show_attend_tell", {"form": "authors", "pad": 0, "start": None, "end": 0}),
    "tutorial": ("show_attend_tell", {"form": "tutorial", "attention": "additive(hidden=3)"}),
    "projected": ("show_attend_tell", {"projection": 4, "tied": True, "target": "length"}),
    "away": ("show_attend_tell", {"attention": "sentinel"}),
    "hard_captioner": ("show_attend_tell", {"choice": "reinforce"}),
    "paper_sentinel": ("adaptive_captioner", {"kind": "paper", "overall": 6}),
    "hard": ("translator", {"choice": "reinforce", "reads": "before", "readout": "state"}),
}


def written():
    """Return the names of the registered models that answer in words."""
    parts = (".translation.", ".captioning.")
    return {name for name in models if any(part in models[name].__module__ for part in parts)}


def build(key, **options):
    """Return the model, without dropout, in evaluation."""
    torch.manual_seed(0)
    name, form = MODELS.get(key, (key, {}))
    small, _ = FAMILIES[name]
    return create_model(name, classes=CLASSES, **{**small, "dropout": 0.0, **form, **options}).eval()


def sentences(lengths, model, seed=0):
    """Return sentences of so much words each, with their ends, padded."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randint(4, CLASSES, (len(lengths), max(lengths)), generator=generator)
    for row, length in zip(rows, lengths, strict=True):
        row[length - 1], row[length:] = model.end, model.pad
    return rows


def sources(key, model, lengths=(5, 3, 1), seed=1, dtype=torch.float64):
    """Return what the model takes beside the reference: source sentences, or features."""
    name = MODELS.get(key, (key, {}))[0]
    if FAMILIES[name][1] == "words":
        return sentences(lengths, model, seed)
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(len(lengths), 4, 6, dtype=dtype, generator=generator)
