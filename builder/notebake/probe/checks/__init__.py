"""The checks, one per module; probe/checklist.py has their order."""
