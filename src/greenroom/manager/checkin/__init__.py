"""The check-in: reports of Agents are checked and committed, and answered with instructions."""
