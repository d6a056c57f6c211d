"""Measurements. Imported by nothing; run through the Makefile."""
