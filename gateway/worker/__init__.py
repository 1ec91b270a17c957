"""The role that reads: checks, links, erases; no open port."""
