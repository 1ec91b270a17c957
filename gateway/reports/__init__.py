"""Growth statistics, disclosure rules and the report of one school."""
