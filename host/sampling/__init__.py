"""Guard one sampling run: checks, the switch at t', the weight of each branch."""
