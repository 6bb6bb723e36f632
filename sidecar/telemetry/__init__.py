"""What can be seen of runs from outside."""
