"""The ledger and the durable files: the only place that commits."""
