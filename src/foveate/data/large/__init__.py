"""Pictures that are read in parts: an overview, and windows at full resolution, in bounded memory."""
