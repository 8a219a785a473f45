"""From a trained network to a mask: whole images, windows, views, large files, pictures of the result."""
