"""Plan, run and judge a study: which attention, where, is worth it on this data, and how sure are we."""
