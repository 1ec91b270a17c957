"""SSH: who comes in, by which algorithms, over which transport."""
