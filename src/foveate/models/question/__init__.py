"""Models that look at a picture with a goal in mind: a question, a class, a vector."""
