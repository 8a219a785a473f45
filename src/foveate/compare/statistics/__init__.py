"""From scores by seed and item to intervals and verdicts."""
