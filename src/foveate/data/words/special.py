"""The numbers that are the same in every vocabulary, and how they are printed."""

PAD = 0  # fills a batch up
UNKNOWN = 1  # a word that the vocabulary does not have
START = 2  # begins a sentence; nothing that is encoded contains it
END = 3  # ends one
FIRST = 4  # the number of the first word
PRINTED = ("<pad>", "<unk>", "<s>", "</s>")
