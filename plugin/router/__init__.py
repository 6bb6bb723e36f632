"""The router: one query in, a route out, and its agents' answer."""
