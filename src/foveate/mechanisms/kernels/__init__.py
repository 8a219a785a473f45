"""Fast paths for eager CPUs behind plain functions; each decides by itself whether it applies."""
