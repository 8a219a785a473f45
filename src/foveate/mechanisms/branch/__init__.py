"""Attention over branches, scales and layers: several maps, weighed against each other."""
