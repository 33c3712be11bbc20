"""The config of a run: its keys, overrides and the strict YAML it is read from."""
