"""Metrics, intervals, baselines and the verdict."""
