"""Generated slides and generated source images."""
