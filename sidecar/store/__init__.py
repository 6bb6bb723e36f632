"""The only memory: documents and counters in Redis, read by one script and committed by another, all or nothing."""
