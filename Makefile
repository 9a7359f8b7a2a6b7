# Everything sets itself up on first use: it needs Python 3.11 or newer, make and a package registry.
PROFILE ?= quick
PYTHON ?=
FIG ?=
P ?=
SEED ?= 0
export PROFILE PYTHON FIG P SEED
export PYTHONPATH := $(CURDIR)
# always through the interpreter: scripts in .venv/bin break when the path has spaces
PY := .venv/bin/python

# attacks of other libraries, which ours are held against
ORACLES := torchattacks==3.5.1 foolbox==3.3.4 eagerpy==0.30.0 pyautoattack==0.2.0 adv-lib==0.2.8 loss-landscapes==3.0.6
# of the workflows of continuous integration: who may do what, and whether they are what their schema allows
LINTERS := zizmor==1.32.0 check-jsonschema==0.39.0

.PHONY: help book published pdf verify test faults oracles bench lint workflows figure figures check lock clean distclean

help:
	@echo "make book                     train, attack, draw and build the book (PROFILE=quick or paper)"
	@echo "make published                build the published edition's book: no data, no training, no network"
	@echo "make pdf                      print the published edition's book as one PDF (BOOK=quick: that profile's)"
	@echo "make figure FIG=fig06 P='...' make one figure again with new parameters"
	@echo "make figures                  list the figures made again, by name"
	@echo "make verify                   check everything made or published against its hash"
	@echo "make test                     run all tests, and every notebook with its defaults"
	@echo "make faults                   kill, fill, damage and misplace runs on purpose (about twenty minutes; SEED=1)"
	@echo "make oracles                  get other libraries' attacks, which the tests then hold ours against"
	@echo "make bench                    time our work beside other libraries' (about a quarter of an hour)"
	@echo "make lint                     check code and notebooks with ruff"
	@echo "make workflows                check the workflows of continuous integration with linters of their own"
	@echo "make check                    check experiments.yml before anything runs"
	@echo "make lock                     compile requirements.txt from pyproject.toml anew"
	@echo "make clean                    remove everything built (downloaded data stay)"
	@echo "make distclean                remove the virtual environment and downloaded data as well"

book: .venv/installed
	@$(PY) -m press book --profile "$$PROFILE"

published: .venv/installed
	@$(PY) -m press published

pdf: .venv/installed
	@$(PY) -m press pdf "$${BOOK:-published}"

verify: .venv/installed
	@$(PY) -m press verify --profile "$$PROFILE"

figure: .venv/installed
	@test -n "$$FIG" || { echo "FIG is missing; for example: make figure FIG=fig06 P='image=3'" >&2; exit 2; }
	@$(PY) -m press figure "$$FIG" --profile "$$PROFILE" --set "$$P"

figures: .venv/installed
	@$(PY) -m press figures --profile "$$PROFILE"

check: .venv/installed
	@$(PY) -m press check --profile "$$PROFILE"

# one thread a worker: two workers share two cores; a notebook's cells stay in one worker
test: .venv/installed
	@OMP_NUM_THREADS=1 $(PY) -m pytest --nbval-lax --nbval-current-env --nbval-cell-timeout 600 \
		--nbval-sanitize-with tests/sanitize.cfg -n 2 --dist loadscope notebooks tests

# the counts go to a record that the book shows
faults: .venv/installed
	@OMP_NUM_THREADS=1 $(PY) -m pytest -n 2 --dist worksteal --seed "$$SEED" --record book/faults.json tests/faults

# in a folder of their own, which their tests alone look into: torchattacks asks for an older requests than the lock holds
oracles: .venv/installed
	@rm -rf build/oracles
	@$(PY) -m pip install -qq --disable-pip-version-check --no-deps --target build/oracles $(ORACLES) || { \
		echo "The installation failed (see above): a package registry must be reachable." >&2; exit 1; \
	}

# the peers are got once
bench: .venv/installed
	@test -d build/oracles/adv_lib -a -d build/oracles/loss_landscapes || $(MAKE) --no-print-directory oracles
	@$(PY) -m press bench

lint: .venv/installed
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --quiet --check . || { echo "some files are not as the formatter would have them: .venv/bin/python -m ruff format" >&2; exit 1; }

# in a folder of their own, got once for each list of versions
workflows: .venv/installed
	@test "$$(cat build/linters/.versions 2>/dev/null)" = "$(LINTERS)" || { rm -rf build/linters && \
		$(PY) -m pip install -qq --disable-pip-version-check --target build/linters $(LINTERS) && \
		echo "$(LINTERS)" > build/linters/.versions; } || { \
		echo "The installation failed (see above): a package registry must be reachable." >&2; exit 1; \
	}
	@PYTHONPATH=build/linters $(PY) -m check_jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	@build/linters/bin/zizmor --quiet --offline --persona auditor .github/workflows

clean:
	@if test -e .venv/installed; then $(PY) -m press idle; fi
	@if test -d build; then find build -mindepth 1 -maxdepth 1 ! -name data -exec rm -rf {} +; fi
	@rm -rf .pytest_cache .ruff_cache .hypothesis

distclean: clean
	@rm -rf build .venv

lock:
	@command -v uv >/dev/null || { echo "uv is missing; install it: python3 -m pip install uv" >&2; exit 2; }
	@echo "# Compiled from pyproject.toml for Linux and macOS, Python 3.11 and newer; renew it with: make lock" > .requirements.new
	@uv pip compile --quiet --universal --no-header --no-emit-index-url --extra book pyproject.toml >> .requirements.new
	@mv .requirements.new requirements.txt

# with uv, which takes half the time, where the reader has it; with pip where there is none or it fails.
# Contents decide, not dates: the file is the list that was installed; without it an interrupted installation has left what
# confuses pip, and it begins anew
.PHONY: other
.venv/installed: $(shell cmp -s requirements.txt .venv/installed || echo other)
	@set -e; \
	if [ -n "$$PYTHON" ]; then set -- "$$PYTHON"; else set -- python3.13 python3.12 python3.11 python3 python3.14; fi; \
	for each do \
		if "$$each" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
			found=$$each; if "$$each" -c 'import venv, ensurepip' 2>/dev/null; then whole=$$each; break; fi; \
		fi; \
	done; \
	if [ -z "$$found" ]; then \
		echo "Python 3.11 or newer is needed and $$* is not: install it (apt install python3, brew install python) or name it with make PYTHON=/path/to/python3." >&2; exit 1; \
	fi; \
	if [ -z "$$whole" ]; then \
		echo "$$found lacks the venv module: install it (apt install python3-venv) or name another Python with make PYTHON=/path/to/python3." >&2; exit 1; \
	fi; \
	echo "Installing into .venv, once: about 2 GB to download, 5.5 GB on disk."; \
	test -e $@ || rm -rf .venv; \
	"$$whole" -m venv .venv; \
	if command -v uv >/dev/null; then \
		if uv pip install --quiet --compile-bytecode --python $(PY) --requirement requirements.txt; then \
			cp requirements.txt $@; exit 0; \
		fi; \
		echo "uv could not install (see above); pip begins anew." >&2; \
		rm -f $@; "$$whole" -m venv --clear .venv; \
	fi; \
	$(PY) -m pip install -qq --disable-pip-version-check --requirement requirements.txt || { \
		echo "The installation failed (see above): a package registry must be reachable, and 8 GB of disk free." >&2; exit 1; \
	}; \
	cp requirements.txt $@
