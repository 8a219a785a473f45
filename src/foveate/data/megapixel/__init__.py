"""Scenes of millions of pixels: a few small digits among noise, and the truth of where they are."""
