"""The agents' registry: who was called, how that went, and what an operator says of them."""
