"""Build, launch and verify virtual machines that serve Jupyter over HTTPS, from one TOML file."""
