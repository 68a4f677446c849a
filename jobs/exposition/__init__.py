"""What the batch says of itself to Prometheus: read from the artifacts, in Prometheus's text form."""
