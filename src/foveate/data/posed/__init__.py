"""Pictures that can be asked for: each with its class, its pose, both, or neither."""
