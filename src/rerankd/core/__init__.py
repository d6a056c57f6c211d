"""The pure core: it decides, and touches neither clock, thread, file, environment nor log."""
