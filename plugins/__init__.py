"""The paper's networks, and any classifier of timm's, as plugins."""
