"""The named budgets by themselves; runs are charged to them by exchanges. Every rule stands in `ensemble.rules`."""
