"""Scores whole collections of requests without deadlines: Parquet or JSON lines in, the same with scores out."""
