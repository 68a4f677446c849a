"""Metrics of the batch for Prometheus, from files."""
