"""Plain functions with fast paths for eager CPUs; each decides by itself which path to take."""
