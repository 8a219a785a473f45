"""Folders: what is in them, what their names say, and class folders."""
