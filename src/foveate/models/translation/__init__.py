"""Translators: sentences in one language to sentences in another."""
