"""Dashboards for Grafana, generated from boards.py into the JSON files beside it."""
