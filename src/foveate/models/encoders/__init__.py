"""Backbones that return a pyramid of feature maps."""
