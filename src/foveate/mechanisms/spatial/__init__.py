"""Spatial attention: one weight per position."""
