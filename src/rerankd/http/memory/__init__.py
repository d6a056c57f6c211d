"""The memory over HTTP: what is asked and answered, who may ask, and the memory that the service keeps open."""
