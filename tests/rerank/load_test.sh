#!/usr/bin/env bash
# Load test of the drop-in: primes the model, then 100 queries with 24 candidates each, once with tiny texts and
# once with passages of mixed length. Fails when p95 is over RERANK_BUDGET_MS, or when anything was skipped.
#
#   tests/rerank/load_test.sh            settings as for the application: CROSS_ENCODER_MODEL, DEVICE, RERANK_*
#
# With the large model on two cores the mixed half may fail; it then names the remedy.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

python=.venv/bin/python
[ -x "$python" ] || python=$(command -v python3 || command -v python) || {
  echo "no Python found: install Python 3.11 or newer, or run make test once" >&2
  exit 2
}
export PYTHONPATH=".:src${PYTHONPATH:+:$PYTHONPATH}"
"$python" -c 'import rerankd' || {
  echo "$python lacks what rerankd needs: run make test once, or pip install '.[embedded]'" >&2
  exit 2
}
exec "$python" tests/rerank/load.py
