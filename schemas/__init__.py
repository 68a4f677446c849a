"""What the jobs and the edge share: tables, Redis keys, stored values, the release's description."""
