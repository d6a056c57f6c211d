"""Hand-made faults in the safety code, each of which a named test must notice."""
