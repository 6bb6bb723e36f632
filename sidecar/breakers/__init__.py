"""The circuit breakers as they can be looked at; exchanges move them."""
