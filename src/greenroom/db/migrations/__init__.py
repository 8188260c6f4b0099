"""Plain SQL files, applied in the order of their names by greenroom.db.migrate."""
