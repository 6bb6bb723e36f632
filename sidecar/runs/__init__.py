"""The runs: the exchange, and what can be looked at afterwards. Every rule stands in `ensemble.rules`."""
