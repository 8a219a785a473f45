"""What decodes words: the interface of models that answer in words, and the recurrent attention decoder."""
