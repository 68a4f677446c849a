"""Airflow on this machine: its settings, its processes, the plugin that shows reports."""
