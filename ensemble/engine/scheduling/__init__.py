"""Which steps may start, which groups go on, and which steps end without being called."""
