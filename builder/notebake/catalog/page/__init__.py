"""The HTML page on a whole catalog."""
