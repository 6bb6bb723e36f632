"""How many calls may be out at one time, in all processes together. Every rule stands in `ensemble.rules`."""
