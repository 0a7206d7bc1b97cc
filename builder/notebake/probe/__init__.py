"""Checks that a machine serves a notebook, from outside and from inside."""
