"""Attention at the output: one map per class."""
