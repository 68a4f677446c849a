"""The edge replica: looks lists up in Redis and answers over HTTP, read-only."""
