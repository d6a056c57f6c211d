"""Requests that Schemathesis makes up from the OpenAPI description, sent to a running service."""
