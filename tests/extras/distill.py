"""With what distilling needs: a folder of scores is written and read back, and a tiny student learns from them."""

import os
import sys
import tempfile
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["RERANKD_DATA_DIR"] = tempfile.mkdtemp()
sys.path.pop(0)  # this script is called as what it imports

from rerankd.distill.pairs import groups_of
from rerankd.distill.policy import DistillPolicy
from rerankd.distill.teacher import read_scores, score_groups
from rerankd.testing import fake_reranker

texts = [f"text number {number} about {'tea' if number % 2 else 'bikes'}" for number in range(40)]
groups = list(groups_of(["green tea", "old bikes"], texts, DistillPolicy()))
folder = Path(tempfile.mkdtemp())
with fake_reranker() as teacher:  # scores by common words; no model is installed here
    score_groups(teacher, groups, texts, folder)
found = read_scores(folder)
assert [query for query, _, _ in found] == ["green tea", "old bikes"], found
assert all(len(asked) == len(logits) > 1 for _, asked, logits in found), found
