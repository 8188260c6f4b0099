"""The desk of a lease: the actions of a program on its session, and their results."""
