"""The Python interface, which the command line uses."""
