"""The only threads and the only clock."""
