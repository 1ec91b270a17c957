"""The rules, as values (TOML) and small pure functions: no clock, no file but its own tables, no network."""
