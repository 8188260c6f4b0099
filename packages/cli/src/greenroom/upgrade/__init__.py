"""`greenroom upgrade`: replace the running roles of an instance by those of another version."""
