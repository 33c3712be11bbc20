"""The execution of a run: an executor of cells, and what watches, times and collects them."""
