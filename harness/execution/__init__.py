"""A run: its config, its cells, the processes that compute them, and the folder that keeps them."""
