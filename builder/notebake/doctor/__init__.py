"""What a host must have for which command, and the commands that install what is missing."""
