"""What a machine has and what is missing."""
