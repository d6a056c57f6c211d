"""`python -m tests.distill.killed OUT TOKENIZER STEP AFTER`: a run that is killed in the middle of a step."""

import os
import signal
import sys
from pathlib import Path

from rerankd.distill import teacher
from rerankd.testing import fake_reranker
from tests.distill.test_distilling import SHARD, Steps, Stopped, run
from tests.distill.tiny import tiny_bert, tiny_passages


class Killed(Steps):
    """Ends the process as the kernel does when memory runs out: nothing is tidied up."""

    def _heard(self) -> None:
        try:
            super()._heard()
        except Stopped:
            os.kill(os.getpid(), signal.SIGKILL)


def main(out: str, tokenizer: str, step: str, after: str) -> None:
    teacher.SHARD = SHARD
    with fake_reranker() as reranker:
        run(reranker, tiny_bert(), Path(tokenizer), tiny_passages(), Path(out), Killed(step, int(after)))


if __name__ == "__main__":
    main(*sys.argv[1:])
