"""Looking: what the weights were, and what they changed."""
