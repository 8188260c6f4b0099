"""Machines that are ordered and released automatically: demand, plans, and the states of orders."""
