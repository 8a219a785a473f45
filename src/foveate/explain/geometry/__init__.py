"""Where the entries of an attention map lie: one file per way that models order their tokens."""
