"""Programs sent over ssh, for the machine's own Python: they import the standard library only."""
