"""The report of a GPU host, in one command: `make gpu-report`."""
