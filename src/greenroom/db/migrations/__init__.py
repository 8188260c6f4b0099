"""Migrations: SQL files that `greenroom.db.migrate` applies in the order of their names."""
