"""The HTTP edge: who is let in, what is refused and in which words, and the short way of exchanges."""
