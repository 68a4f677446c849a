"""Monitoring: rules, dashboards, runbook."""
