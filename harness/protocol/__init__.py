"""Who trains, who validates, who is tested; and the proof that nobody is on two sides."""
