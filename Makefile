# Works from any folder (make -C, make -f), in paths with spaces, with GNU make 3.81 and later.

PYTHON ?= python3
JOBS ?= 2
ARGS ?=
UV ?= uv

HERE := $(shell file='$(subst ','\'',$(MAKEFILE_LIST))'; cd "$$(dirname "$${file# }")" && pwd)
export HERE PYTHON
# The environment's own kernel comes before any other `python3` kernel of the user.
KERNELS = JUPYTER_PATH="$$HERE/.venv/share/jupyter$${JUPYTER_PATH:+:$$JUPYTER_PATH}"
IN = cd "$$HERE" && $(KERNELS) .venv/bin/python

.DEFAULT_GOAL := help
.PHONY: help env run test lab demo refresh lock paper site

help: ## show this list
	@sed -n 's/^\([a-z]*\):[^#]*## \(.*\)/  make \1|\2/p' "$$HERE/Makefile" | \
	while IFS='|' read -r name text; do printf '%-14s %s\n' "$$name" "$$text"; done

run: env ## execute all notebooks on the built-in sample, into runs/ (ARGS="03 --dataset utkface")
	@$(IN) -m agelib run $(ARGS)

test: env ## lint, unit and property tests, strict nbval over every notebook (JOBS=2)
	@$(IN) -m ruff check .
	@$(IN) -m ruff format --check .
	@$(IN) -m pytest -q -n $(JOBS) --dist loadscope $(ARGS)
	@$(IN) -m pytest -q -n $(JOBS) --dist loadscope --nbval notebooks

lab: env ## open JupyterLab (ARGS for it)
	@$(IN) -m jupyterlab --LabApp.default_url=/lab/tree/notebooks $(ARGS)

demo: env ## open chapter 24 as an app: ages on your own photos, on this machine (ARGS for Voila)
	@$(IN) -m voila --Voila.config_file_paths=notebooks $(ARGS) \
	  notebooks/24-predict-your-own-photo.ipynb

refresh: env ## execute the committed notebooks in place, on records; renew README's tables
	@cd "$$HERE" && $(KERNELS) .venv/bin/jupyter-execute --inplace --kernel_name=python3 \
	  notebooks/*.ipynb
	@$(IN) -m nbstripout --keep-output --keep-count --keep-id --drop-output-type stream:stderr \
	  --extra-keys "metadata.papermill cell.metadata.papermill cell.metadata.execution \
	  metadata.language_info.version metadata.widgets" notebooks/*.ipynb
	@$(IN) -m agelib.readme

paper: env ## build paper/age-from-faces.pdf from the records (no network)
	@$(IN) -m agelib.paper

site: env ## render notebooks, reading list and API as pages into build/site (no network)
	@$(IN) -m agelib.site

lock: ## renew requirements.lock from pyproject.toml (needs uv; UPGRADE=1 takes newer versions)
	@cd "$$HERE" && $(UV) pip compile pyproject.toml --output-file requirements.lock --quiet \
	  --all-extras --universal --python-version 3.11 --fork-strategy fewest --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" \
	  $(if $(UPGRADE),--upgrade)

# The stamp is written last, so an interrupted environment is never taken for a whole one; it
# holds the lock's checksum and the folder, since a virtual environment cannot be moved.
env: ## create .venv from requirements.lock if it is missing or out of date (PYTHON=python3)
	@cd "$$HERE" || exit 1; \
	stamp="$$(cksum < requirements.lock) $$HERE"; \
	ready() { [ "$$(cat .venv/.stamp 2>/dev/null)" = "$$stamp" ] && .venv/bin/python -c ''; }; \
	ready 2>/dev/null && exit 0; \
	say() { printf 'make env: %s\n' "$$*" >&2; }; \
	remedy="install one of them, or name one: make env PYTHON=/path/to/python3.12"; \
	if ! version="$$("$$PYTHON" -c \
	  'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)"; then \
	  say "cannot run '$$PYTHON'. Python 3.11, 3.12 or 3.13 is needed: $$remedy"; exit 1; \
	fi; \
	case "$$version" in 3.11|3.12|3.13) ;; *) \
	  say "'$$PYTHON' is Python $$version, but 3.11, 3.12 or 3.13 is needed: $$remedy"; exit 1;; \
	esac; \
	if ! "$$PYTHON" -c 'import ensurepip, venv' 2>/dev/null; then \
	  say "'$$PYTHON' lacks venv or ensurepip (Debian: apt install python$$version-venv)"; exit 1; \
	fi; \
	exec 9>.venv.lock; "$$PYTHON" -c 'import fcntl; fcntl.flock(9, fcntl.LOCK_EX)'; \
	ready 2>/dev/null && exit 0; \
	say "installing the packages of requirements.lock into .venv with Python $$version;" \
	  "this takes some minutes and 3.7 GB"; \
	base="$$("$$PYTHON" -c 'import sys; print(sys._base_executable)')"; \
	rm -rf .venv && "$$base" -m venv .venv && \
	pip() { .venv/bin/python -m pip install -qq --no-input --disable-pip-version-check "$$@" 9>&-; } && \
	pip --require-hashes -r requirements.lock && \
	pip --no-deps --no-build-isolation -e . && \
	printf '%s\n' "$$stamp" > .venv/.stamp && say "done" && exit 0; \
	say "not finished, see above; 'make env' starts afresh"; exit 1
