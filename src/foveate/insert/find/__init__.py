"""How sites are found: follow the axes of one run, and find blocks, stages, skip connections and ends."""
