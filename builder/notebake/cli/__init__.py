"""The command `notebake`: one module per command."""
