"""The run folder on disk: typed records, tables, checksums, locks."""
