"""Pupils become persons, persons become pseudonyms, identifiers go no further."""
