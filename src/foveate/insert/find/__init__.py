"""How sites are found: follow the axes of one run, and tell stages, blocks, skips and ends apart."""
