"""Which model: from a name to verified files, and from text to pairs of token ids."""
