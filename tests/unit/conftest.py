"""Fixtures of the unit tests: ledgers and homes."""

from tests.support.ledgers import clock, home, home_folder, home_template, ledger, ledger_url, lite, postgres_tables, sqlite_tables

__all__ = ["clock", "home", "home_folder", "home_template", "ledger", "ledger_url", "lite", "postgres_tables", "sqlite_tables"]
