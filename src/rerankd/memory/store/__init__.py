"""Where sealed rows live: the port, and PostgreSQL behind it."""
