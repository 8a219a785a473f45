"""From image files to pixels: formats, limits, depth, orientation."""
