"""Masks in files: find them, pair them with images, and find out what their pixels mean."""
