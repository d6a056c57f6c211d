"""Beyond one machine, on Ray: many scorers behind the service, and bulk work on a cluster."""
