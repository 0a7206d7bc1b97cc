"""Benchmarks of speed and memory: `python -m bench` in the root of the checkout."""
