"""A local page to show a picture to a model, see where it looks, and have the map judged."""
