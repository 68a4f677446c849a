"""A release in Redis: the cluster, the catalog, loading and reading back."""
