"""A scorer in a process of its own: the frames, both ends, and who watches over it."""
