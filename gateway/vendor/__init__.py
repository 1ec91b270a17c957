"""The vendor's side, without a home or a database."""
