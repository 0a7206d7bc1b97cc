"""The probe: check from outside and from inside that a machine serves notebooks."""
