"""What is true and what should happen: frozen dataclasses and pure functions. No I/O, no clock, no randomness."""
