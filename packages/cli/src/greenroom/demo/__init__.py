"""`greenroom demo`: an instance with invented people, sessions and history, on the simulated runtime."""
