"""Attention that a query asks for: a memory is read, or a map gated."""
