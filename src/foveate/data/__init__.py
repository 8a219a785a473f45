"""Images: opening, checking, decoding once, and batches; one file a kind of data."""
