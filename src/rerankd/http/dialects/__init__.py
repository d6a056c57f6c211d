"""The dialects: one file each, which reads a request, writes an answer and words a refusal."""
