"""Expectations on tables, validated by Great Expectations."""
