"""Segmentation systems, one file a system."""
