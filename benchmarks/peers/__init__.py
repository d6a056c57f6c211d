"""rerankd beside other rerankers: one interleaved run on the same model file. See README.md here."""
