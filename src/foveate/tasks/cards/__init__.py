"""How the answers of a task are drawn in a report: one file a kind of card."""
