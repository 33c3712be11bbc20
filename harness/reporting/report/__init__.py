"""The report: one HTML page of runs, with tables, charts, images, and how all of it was made."""
