# make demo: from a clone to a picture.    make test: the tests, in minutes.    make check: what CI asks for.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Two processes, as most tests keep one core busy; a file's tests stay together, since they share what they have trained.
PYTEST := $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: demo test test-all test-everything check docs lint bench-quick format wheel-check shipped results examples \
	man clean

demo: $(READY)
	$(BIN)/kvae train --dataset fashion_mnist
	$(BIN)/kvae sample --n 64 --out samples.png
	@echo "Done. Open $(CURDIR)/samples.png: 64 images that did not exist before."

test: $(READY)
	$(PYTEST) -m "not slow"

# The slow ones as well: browsers, Ray, several processes, kills, the wheel, the fuzz corpus.
test-all: test
	$(PYTEST) -m "slow and not exhaustive"

# And whole tables, of which the others take some rows, more kills and more rounds: before a release, after an upgrade.
test-everything: test-all
	$(PYTEST) -m exhaustive

check: lint bench-quick test-all

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The site, in site/: links and anchors are checked, and a warning is an error. tests/test_site.py makes it too.
docs: $(READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict
	@echo "Done. Open $(CURDIR)/site/index.html."

# Ratios against what is installed anyway; fails where an optimisation was lost. The whole of it: benchmarks/README.md.
bench-quick: $(READY)
	$(BIN)/python benchmarks/training.py --quick
	$(BIN)/python benchmarks/sampling.py --quick

# The npm packages of the examples. Their tests, and those of `kvae explore`, need them and Chromium, and are skipped without.
examples:
	cd examples/node && npm ci --silent
	cd examples/browser && npm ci --silent

# The man page, from the source of --help: man -l kvae.1
man: $(READY)
	$(BIN)/python scripts/make_man_page.py kvae.1

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Builds the wheel, installs it without the train extra, and samples from it.
wheel-check: $(READY)
	$(BIN)/python -m pytest tests/test_packaging.py

# Trains the shipped bundles anew (about 20 minutes on 2 cores) and puts them into exported/.
shipped: $(READY)
	rm -rf runs/shipped
	$(BIN)/kvae train --recipe fashion_mnist_vae --binarize none --conditional --prior mixture --prior-components 50 \
		--epochs 100 --kl-warmup-epochs 10 --out runs/shipped/trained
	$(BIN)/kvae fit-prior runs/shipped/trained --prior mixture --prior-components 150 --epochs 30 \
		--out runs/shipped/fashion_mnist
	$(BIN)/kvae export runs/shipped/fashion_mnist --precision float16 --out exported/fashion_mnist
	$(BIN)/kvae train --dataset fashion_mnist --binarize none --architecture mlp --hidden-units 256 --latent-dim 12 \
		--prior mixture --epochs 60 --out runs/shipped/fashion_mnist_small
	$(BIN)/kvae export runs/shipped/fashion_mnist_small --out exported/fashion_mnist_small

# Measures the figures of docs/results.md again, for hours; stopped, it goes on where it was. ONLY=NAME for one of them.
results: $(READY)
	$(BIN)/python scripts/results.py $(ONLY)

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import ensurepip, sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' || \
		{ echo "training, and so make, needs Python 3.11 to 3.13 with its venv module (Debian: apt-get install python3-venv); set PYTHON=" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[cpu,train,ray,compress,serve,docs,dev]'
	touch $@

clean:
	rm -rf $(VENV) examples/*/node_modules build dist site *.egg-info .mypy_cache .pytest_cache .ruff_cache
