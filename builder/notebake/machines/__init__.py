"""Machines on this host: request -> running machine, one module per platform."""
