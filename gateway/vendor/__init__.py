"""Role: the vendor's side of a delivery. No home, no database: it runs on the vendor's own machine."""
