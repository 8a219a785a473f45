"""Pairwise attention: positions (or channels) look at each other."""
