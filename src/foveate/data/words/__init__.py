"""Words as numbers: how a text is split, and the vocabularies that number what it is split into."""
