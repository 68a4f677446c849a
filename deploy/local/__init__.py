"""The local stack: Redis Cluster, edge replicas and NGINX on loopback."""
