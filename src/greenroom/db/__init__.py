"""All SQL statements of Greenroom. Each function raises `Unavailable` if the database cannot be reached."""
