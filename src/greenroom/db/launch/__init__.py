"""SQL statements for launches: the input of the plan, the claim, the new session, the ledger."""
