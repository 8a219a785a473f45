"""Faults in data, found before anything is trained on it."""
