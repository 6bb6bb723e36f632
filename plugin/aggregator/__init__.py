"""The aggregator: several results in, one out."""
