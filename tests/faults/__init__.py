"""Real processes killed at chosen points of an attempt's life, and what must hold afterwards."""
