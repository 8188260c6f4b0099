"""SQL statements for sessions: their rows, lists, changes of status and shares, and the reports of Agents."""
