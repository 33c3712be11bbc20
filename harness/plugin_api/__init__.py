"""The plugin interface."""
