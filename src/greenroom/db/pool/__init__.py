"""SQL statements for pools of staged sessions: staging configs, the input of a plan, history."""
