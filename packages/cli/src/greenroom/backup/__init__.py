"""Backups of an instance: one encrypted file with its database, keys, certificates and settings (ADR 92)."""
