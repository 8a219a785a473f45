"""What is drawn: noise and goals for a generator, and its pictures on a sheet."""
