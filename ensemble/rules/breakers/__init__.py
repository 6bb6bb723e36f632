"""Circuit breakers: when they open and close, and calls of no run behind one."""
