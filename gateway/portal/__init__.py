"""The role that publishes: HTTPS pages and downloads; never an identifier."""
