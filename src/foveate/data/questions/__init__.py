"""Questions about pictures, and their answers by one or several annotators."""
