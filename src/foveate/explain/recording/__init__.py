"""How weights are read while a model runs: one file per source of weights."""
