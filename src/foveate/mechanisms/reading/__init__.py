"""What the read mechanisms share: soft and hard weights, and the losses that train them."""
