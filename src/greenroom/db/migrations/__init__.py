"""Migrations: SQL files that `greenroom.db.migrate` applies in the order of their names.

The files 0001 to 0009 create the schema of the first release, 0.1.0. A released file does not change, because databases
compare its checksum.
"""
