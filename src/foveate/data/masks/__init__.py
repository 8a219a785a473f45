"""Masks in files: find them, pair them with images, and infer what their pixels mean."""
