"""The local stack: Redis Cluster and edge replicas on loopback."""
