"""What a drop is: pure values, no clock, no file, no network."""
