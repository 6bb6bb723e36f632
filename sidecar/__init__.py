"""The server: runs, breakers, budgets and state on Redis, behind the endpoints of the contract."""
