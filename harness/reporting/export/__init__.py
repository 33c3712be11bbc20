"""A run in the formats that others read; each format is a pure function of the run folder and of what is given."""
