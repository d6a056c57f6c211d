"""One contender in a process of its own: a request a line in, its time and scores a line out."""

import json
import os
import sys
import time

from benchmarks.peers.contenders import open_contender

__all__: list[str] = []


def main(name: str, cores: int) -> None:
    # Libraries print to standard output as they like; the answers go through a copy of it that only we know.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    begun = time.perf_counter()
    contender = open_contender(name, cores)
    ready = {"settings": contender.settings, "load_seconds": time.perf_counter() - begun}
    print(json.dumps(ready), file=answers, flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        texts = request["texts"]
        used, begun = time.process_time(), time.perf_counter()
        answer = contender.run(request["query"], texts)
        seconds, used = time.perf_counter() - begun, time.process_time() - used
        told = {"ms": seconds * 1e3, "cpu_ms": used * 1e3, "logits": contender.logits(answer)}
        print(json.dumps(told), file=answers, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
