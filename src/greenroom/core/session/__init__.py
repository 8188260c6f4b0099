"""What a session is made of, its states, and the decisions about it while it lives."""
