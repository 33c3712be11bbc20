"""Tables and figures, each a pure function of a run folder."""
