"""Sessions in SQL: their rows, views, changes of status and shares, and the reports of Agents about them."""
