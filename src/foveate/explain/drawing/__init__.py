"""Pictures of attention, one file a kind: each takes plain arrays and returns a ``Drawing``."""
