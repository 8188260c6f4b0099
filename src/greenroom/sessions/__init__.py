"""What api and Managers both do to sessions: place, claim, replace. The roles decide when, and notify."""
