"""The ledger of runs: exchanges decided, runs opened, closed and shown."""
