"""Image data: opening, checking, decoding once, and batches; one room for each kind of source."""
