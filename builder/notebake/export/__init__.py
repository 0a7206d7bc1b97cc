"""A golden image in the format that a cloud imports, and the commands that import it."""
