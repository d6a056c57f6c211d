"""Measures what is promised beyond one machine, on a cluster of several Ray nodes in this one."""
