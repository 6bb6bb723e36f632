"""What the sidecar tells of itself to those who watch over it."""
