"""rerankd: the best order that fits your budget, on time, every time, and it tells you which one you got."""
