"""NGINX in front of the edge replicas: its settings, its configuration, its API keys."""
