"""What is known of agents: what calls have told, counted, and an operator's word."""
