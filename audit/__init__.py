"""The append-only Merkle log and what is proved from it. Imports nothing of gateway."""
