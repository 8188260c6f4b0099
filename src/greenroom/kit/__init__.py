"""The common parts of the roles: process settings, logging, metrics, health, HTTP clients, stop points."""
