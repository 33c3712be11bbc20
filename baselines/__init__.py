"""What a network must beat, as plugins."""
