"""Workflows for CI services."""
