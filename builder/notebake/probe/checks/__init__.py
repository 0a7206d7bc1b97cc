"""The checks, one per module; probe/checklist.py lists them in order."""
