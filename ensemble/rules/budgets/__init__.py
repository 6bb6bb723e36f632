"""Budgets: what an attempt may take, a run's own limits and named budgets over windows."""
