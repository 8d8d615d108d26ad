"""Recorded computations as plain data."""
