"""Keys that live, keys that must die, and what is made with them. Imports nothing of gateway."""
