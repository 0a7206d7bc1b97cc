"""From spec and target to plan: defaults filled in, files read, pins resolved."""
