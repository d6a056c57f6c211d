"""Makes a small cross-encoder out of a large one, on the user's own texts; no labels are needed."""
