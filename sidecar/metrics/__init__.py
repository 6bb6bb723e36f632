"""What the sidecar counts, in memory its processes share, and how it is told to Prometheus."""
