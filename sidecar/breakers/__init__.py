"""The circuit breakers by themselves; those of runs are moved by exchanges. Every rule stands in `ensemble.rules`."""
