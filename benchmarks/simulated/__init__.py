"""Simulated studies: what ``benchmarks.calibration`` prints, one file a table."""
