"""What the roles share: process settings, logging, metrics, health, HTTP clients, stop points."""
