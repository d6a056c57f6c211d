"""A chat's long-term memory on PostgreSQL: sealed, isolated per user, exact, and reranked within one deadline.

    async with rerankd.memory.open(tenant="default", vectors="plain") as memory:
        await memory.add(["I moved to Lisbon in May."], user_id="ada")
        recall = await memory.query("Where do I live?", user_id="ada")

Needs the `memory` extra, and the `embedded` one where it is to bring its own database and embedder.
"""
