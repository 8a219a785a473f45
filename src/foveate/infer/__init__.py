"""Trained models: what is saved of them, loading them, and asking them."""
