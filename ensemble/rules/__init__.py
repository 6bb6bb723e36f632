"""Breaker, budget and lease as pure rules: before, policy and now give after and an answer."""
