"""What stands before all processes of the intake: listens, admits, counts, registers what was delivered."""
