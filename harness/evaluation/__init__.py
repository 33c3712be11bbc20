"""Recognition rates, other metrics and convergence, from predictions and histories alone."""
