"""The endpoint as several processes: one that starts the others, the channel between them, and the doors that speak SSH."""
