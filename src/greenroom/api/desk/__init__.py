"""The desk of a lease: what a program does to its session, and what it sees of it."""
