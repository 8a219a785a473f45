"""How words are chosen from a model that predicts them one by one: greedy and beam search, sampling."""
