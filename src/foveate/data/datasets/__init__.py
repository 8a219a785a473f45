"""Python datasets as image data."""
