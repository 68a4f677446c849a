"""Expectations on tables, judged by Great Expectations."""
