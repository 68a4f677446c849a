"""A release in Redis: the cluster, the release registry, loading and reading back."""
