"""Alembic migrations: every change of a table, from the first one on."""
