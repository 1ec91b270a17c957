"""Bundles per board and the letters that carry a credential."""
