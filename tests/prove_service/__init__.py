"""What is promised of the service, as figures, over HTTP."""
