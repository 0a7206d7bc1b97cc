"""Builds, launches and verifies machines that serve Jupyter over HTTPS, from one TOML file."""
