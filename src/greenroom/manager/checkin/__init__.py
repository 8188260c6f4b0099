"""The check-in: what Agents say is checked and committed, and answered with what is wanted."""
