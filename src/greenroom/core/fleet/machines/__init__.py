"""Machines that are ordered and given back by themselves: what is lacking, and what becomes of an order."""
