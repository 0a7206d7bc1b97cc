"""Spec and target -> plan: every default filled in, every file read, every pin resolved."""
