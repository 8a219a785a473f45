"""The built-in data: handwritten digits in clutter, and the truth of where to look."""
