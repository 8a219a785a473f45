"""What the mechanisms that select patches share: scores of an overview, places, and what is pooled."""
