"""Sentences in two languages, line by line: how they are read, checked and fed to a translator."""
