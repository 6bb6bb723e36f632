"""From what a builder wrote, in any of its forms, to a plan, and everything that is wrong with it."""
