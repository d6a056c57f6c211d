"""Where the run-time switch is kept: in the process, in a file, or with an OpenFeature provider."""
