"""The gateway: see docs/architecture.md for the one way through it."""
