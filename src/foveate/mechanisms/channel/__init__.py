"""Channel attention: one weight per channel."""
