"""What notebake promises of speed and memory, measured: `python -m bench` from the checkout's root."""
