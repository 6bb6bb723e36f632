"""The engine's side of the exchange, and the ledger of local mode."""
