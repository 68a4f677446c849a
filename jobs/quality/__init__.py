"""Checks on tables and their reports."""
