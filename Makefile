# Everything a newcomer needs; `make` alone lists it. Needs Python 3.11 or later and make, nothing else.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo up monitor monitor-check test tests test-long test-clients test-robots test-s390x compose-run image-run bench chaos train-smoke lint style types secrets audit lock clean

PYTHON ?= python3
BIN := .venv/bin
RUN ?= var/smoke
LOCKED := .venv/requirements.lock.installed

help: ## List what can be made
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(LOCKED) ## Analyse the example X-ray and print its job as JSON (IMAGE=path or IMAGE=synthetic: another)
	@exec $(BIN)/python -m stack demo $(if $(IMAGE),"$$IMAGE")

up: $(LOCKED) ## Run the service on 127.0.0.1:8000 (PORT, FLOWER_PORT and OSTEO_VAR move it)
	@exec $(BIN)/python -m stack up

monitor: $(LOCKED) ## Run Debian's Prometheus and Alertmanager beside `make up` (PROMETHEUS_PORT, ALERTMANAGER_PORT, ALERTS_URL)
	@exec $(BIN)/python -m stack monitor

monitor-check: ## Check the rules of alerts, their tests and where alerts go
	@command -v promtool amtool | wc -l | grep -qx 2 || { \
		echo "This needs promtool and amtool. On Debian: apt-get install prometheus prometheus-alertmanager" >&2; exit 1; }
	@promtool check config deploy/monitoring/prometheus.yml
	@promtool test rules deploy/monitoring/rules/osteo_test.yml deploy/monitoring/rules/osteo_slow_test.yml
	@amtool check-config deploy/monitoring/alertmanager.yml
	@amtool config routes test --config.file=deploy/monitoring/alertmanager.yml --verify.receivers=page severity=page
	@amtool config routes test --config.file=deploy/monitoring/alertmanager.yml --verify.receivers=ticket severity=ticket

# Hundreds of processes start in the tests. Where the environment forbids it, each would compile every module.
# pytest-xdist waits for ever after it has replaced a process that crashed; so it replaces none, and the run fails.
tests test-long: export PYTHONDONTWRITEBYTECODE :=
test: lint ## Run every check, and every test but those of `make test-long`
	@$(MAKE) --no-print-directory tests

tests: $(LOCKED) ## Run every test, without the checks of `make lint`
	@$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder --max-worker-restart=0

test-long: $(LOCKED) ## What takes minutes, and of which `make test` has a cut
	@$(BIN)/python -m pytest -m long

test-clients: $(LOCKED) var/peers/installed ## Make clients of the OpenAPI document by three generators, use and lint; needs npm
	@$(BIN)/python -m pytest tests/api/openapi/test_generated_clients.py

test-robots: $(LOCKED) var/peers/ros/interfaces ## Compare rays with ROS's own camera model, and send targets to all peers of robots; says what it lacks
	@/usr/bin/python3 -c 'import image_geometry' || { \
		echo "This needs image_geometry. On Debian: apt-get install --no-install-recommends python3-image-geometry" >&2; exit 1; }
	@PATH=$$PATH:/usr/sbin command -v mosquitto >/dev/null || { \
		echo "This needs mosquitto. On Debian: apt-get install mosquitto" >&2; exit 1; }
	@test -d /usr/include/openigtlink -a -d /usr/share/doc/openigtlink-examples/examples || { \
		echo "This needs OpenIGTLink. On Debian: apt-get install libopenigtlink-dev openigtlink-examples" >&2; exit 1; }
	@$(BIN)/python -m pytest tests/jobs/geometry tests/jobs/targets tests/robot tests/api/results/test_recording.py \
		tests/api/routes/test_targets.py tests/worker/delivery/test_targets.py tests/integration/test_robots.py

test-s390x: $(LOCKED) ## What can differ on LinuxONE, on an emulated s390x, as root, on Debian (FULL=1: the whole network, too)
	@exec $(BIN)/python -m tests.s390x $(if $(FULL),--full)

compose-run: $(LOCKED) ## Run docker-compose.yml without a container engine, by bubblewrap, as root
	@exec $(BIN)/python -m tests.compose

image-run: $(LOCKED) ## The same in the images: deploy/Dockerfile, followed in a bare Debian, as root
	@exec $(BIN)/python -m tests.compose --images var/images

bench: $(LOCKED) .venv-rivals/installed ## Measure everything against what it has to reach, in half an hour
	@short=0; $(BIN)/python -m benchmarks || short=$$?; $(BIN)/python -m benchmarks.capacity; exit $$short

chaos: $(LOCKED) ## Try to lose a job: kill, freeze, wipe and fill, and count, in some 40 minutes (SEEDS=1: a third)
	@exec $(BIN)/python -m tests.chaos --seeds $(or $(SEEDS),3)

train-smoke: $(LOCKED) ## All steps of training on drawn radiographs, in minutes, in var/smoke (RUN moves it)
	@rm -rf $(RUN)
	@$(BIN)/python -m training.synthetic_set $(RUN)/wrists --count 280
	@$(BIN)/python -m training.collect $(RUN)/wrists --run $(RUN)
	@$(BIN)/python -m training.prepare --run $(RUN)
	@$(BIN)/python -m training.select --run $(RUN) --config training/configs/smoke_select.toml
	@$(BIN)/python -m training.train --run $(RUN) --config training/configs/smoke.toml
	@$(BIN)/python -m training.evaluate --run $(RUN) --bundle $(RUN)/bundle --small
	@$(BIN)/python -m training.synthetic_set $(RUN)/elsewhere --count 120 --first 5000
	@$(BIN)/python -m training.external $(RUN)/elsewhere --bundle $(RUN)/bundle --run $(RUN)/external
	@$(BIN)/python -m training.external $(RUN)/elsewhere --bundle $(RUN)/bundle --run $(RUN)/external --recalibrate $(RUN)/recalibrated
	@$(BIN)/python -m training.quantise --run $(RUN) --bundle $(RUN)/recalibrated --xrays 40

lint: $(LOCKED) ## Check style, types, insecure habits and secrets
	@$(MAKE) --no-print-directory --keep-going --jobs 2 --output-sync=target style types secrets

style: $(LOCKED)
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check

types: $(LOCKED)
	@$(BIN)/mypy
	@$(BIN)/mypy --config-file client/pyproject.toml

secrets: $(LOCKED)
	@git ls-files -z -- ':!*.lock' ':!*.png' ':!model/bundle' | xargs -0 $(BIN)/detect-secrets-hook --no-verify --cores 2

audit: $(LOCKED) ## Ask PyPI for known vulnerabilities of what the lock files name; needs pypi.org itself
	@$(BIN)/python -m pip install --quiet pip-audit >&2
	@$(BIN)/pip-audit --strict --disable-pip --require-hashes --progress-spinner off \
		--requirement requirements.lock --requirement deploy/light.lock --requirement deploy/inference.lock

lock: $(LOCKED) ## Write the lock files anew from pyproject.toml and the client's (UPGRADE=1 takes the newest versions)
	@$(call compile,requirements.lock,client/pyproject.toml --extra dev $(if $(UPGRADE),--upgrade))
	@$(call compile,deploy/light.lock,--extra flower --extra dicom --extra mcap --extra readings --extra oidc --extra otel --extra registration --constraint requirements.lock)
	@$(call compile,deploy/inference.lock,--extra worker --extra openvino --extra dicom --extra otel --constraint requirements.lock)
	@$(call compile,deploy/linuxone.lock,--extra flower --extra mcap --extra readings --extra oidc --extra otel --constraint requirements.lock $(addprefix --no-emit-package=,$(COMPILED)))
	@$(call compile,benchmarks/rivals.lock,--extra rivals)

# What people would use instead wants other versions of the same packages, so it has an environment of its own.
.venv-rivals/installed: benchmarks/rivals.lock | $(LOCKED)
	@test -x .venv-rivals/bin/python || $(PYTHON) -m venv .venv-rivals >&2
	@echo "installing what the benchmarks compare with ..." >&2
	@.venv-rivals/bin/python -m pip install --disable-pip-version-check --require-hashes -r $< >&2
	@cp $< $@

var/peers/installed: tests/peers/package.json tests/peers/requirements.txt
	@command -v npm >/dev/null || { echo "This needs npm. On Debian: apt-get install npm" >&2; exit 1; }
	@mkdir -p var/peers
	@cp tests/peers/package.json var/peers/
	@npm install --prefix var/peers --ignore-scripts --no-audit --no-fund >&2
	@test -x var/peers/python/bin/python || $(PYTHON) -m venv var/peers/python >&2
	@var/peers/python/bin/python -m pip install --disable-pip-version-check --quiet -r tests/peers/requirements.txt >&2
	@touch $@

# ROS 2 wants other versions of the same packages, so it has an environment of its own.
var/peers/ros/installed: tests/peers/ros.txt
	@test -x var/peers/ros/bin/python || $(PYTHON) -m venv var/peers/ros >&2
	@var/peers/ros/bin/python -m pip install --disable-pip-version-check --quiet -r $< >&2
	@touch $@

# PyPI has no vision_msgs and no tf2_msgs: ROS's own generators build both.
var/peers/ros/interfaces: tests/peers/ros_build.txt tests/peers/ros_interfaces.py api/results/ros_definitions/Detection2DArray.msg api/results/ros_definitions/TFMessage.msg | var/peers/ros/installed
	@command -v cmake g++ | wc -l | grep -qx 2 || { \
		echo "This needs cmake and g++. On Debian: apt-get install cmake g++" >&2; exit 1; }
	@var/peers/ros/bin/python -m pip install --disable-pip-version-check --quiet -r $< >&2
	@echo "building vision_msgs and tf2_msgs ..." >&2
	@var/peers/ros/bin/python tests/peers/ros_interfaces.py
	@touch $@

clean: ## Remove the environment, caches and what demos left; keep the data of `make up`
	@rm -rf .venv .venv-rivals .mypy_cache .pytest_cache .ruff_cache *.egg-info client/*.egg-info client/build var/demo var/peers
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# No s390x wheels of these exist: LinuxONE takes them from Debian (docs/linuxone.md).
COMPILED := cffi cryptography lz4 markupsafe numpy pillow tornado zstandard

compile = $(BIN)/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 \
	--generate-hashes --no-emit-index-url --no-header --no-annotate --output-file $(1) $(2)

# uv, of the version that the lock file names, fetches and compiles in parallel, and needs a quarter of pip's time.
# It does not read pip's settings: where they name an index, pip installs.
by_uv = { ! $(BIN)/python -m pip config list | grep '\.index-url=' > /dev/null \
	&& $(BIN)/python -m pip install --disable-pip-version-check --quiet --require-hashes -r <(awk '/^[^ ]/ { uv = /^uv==/ } uv' $(1)) \
	&& $(BIN)/uv pip install --python $(BIN)/python --quiet --compile-bytecode --require-hashes -r $(1); } >&2

# Standard output belongs to what `make demo` prints, so everything here speaks on standard error.
$(LOCKED): requirements.lock client/pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "This needs Python 3.11 or later; $(PYTHON) is $$($(PYTHON) --version 2>&1)." \
			"Name a newer one: make PYTHON=python3.11 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
		echo "$(PYTHON) has no venv module. On Debian: apt-get install python3-venv" >&2; exit 1; }
	@test -x $(BIN)/python || { echo "creating the environment in .venv ..." >&2; $(PYTHON) -m venv .venv >&2; }
	@echo "installing what requirements.lock names ..." >&2
	@$(call by_uv,requirements.lock) || $(BIN)/python -m pip install --disable-pip-version-check --require-hashes -r requirements.lock >&2
	@$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation --editable client >&2
	@cp requirements.lock $@
