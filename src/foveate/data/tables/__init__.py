"""Tables of files with labels or masks."""
