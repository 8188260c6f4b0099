"""Webhooks: made by administrators, and their messages delivered."""
