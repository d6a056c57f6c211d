"""The checklist before a deployment, as a program: each line passes, fails or does not apply."""
