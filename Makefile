# Everything from Python 3.11 and make alone: each target makes what it needs.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
INSTALLED := .venv/installed

# The suite starts hundreds of Python processes: their compiled modules are kept, also where the environment says not to.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test campaign bench lint schema lock clean

demo: $(INSTALLED) ## the reference mesh on real Kafka, recounted at the end
	$(BIN)/meshport demo --for $(or $(FOR),60s)

test: $(INSTALLED) ## every test, with a real Kafka and a real PostgreSQL, in five processes on two cores; ARGS="-n0 ..." for one
	MESHPORT_REQUIRE_KAFKA=1 MESHPORT_REQUIRE_POSTGRES=1 $(BIN)/python -m pytest -n auto --no-loadscope-reorder $(ARGS)

campaign: $(INSTALLED) ## kills, outages, storms, the chart, planted defects and long repetitions, an hour or more; ARGS="kills --engine batch" for a part
	MESHPORT_REQUIRE_KAFKA=1 $(BIN)/python -m tests.campaigns $(ARGS)

bench: $(INSTALLED) ## one JSON line a figure on stdout
	@$(BIN)/python -m tests.bench $(ARGS)

lint: $(INSTALLED) ## ruff, mypy strict, the layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m tests.product_types
	$(BIN)/lint-imports

schema: $(INSTALLED) ## the JSON Schema of product.yaml, written anew from the models
	$(BIN)/meshport json-schema > .schema.new && mv .schema.new meshport/product/product.schema.json

lock: ## resolve the dependencies anew: hashes, no hosts
	uv pip compile pyproject.toml --all-extras --group dev --generate-hashes --no-annotate \
		--no-header --universal --python-version 3.11 --upgrade --output-file requirements.lock
	uv pip compile pyproject.toml --extra registry --extra outbox --extra process --extra columnar --extra observe --constraint requirements.lock \
		--generate-hashes --no-annotate --no-header --universal --python-version 3.11 --output-file deploy/image/requirements.lock
	uv pip compile --group image --constraint requirements.lock \
		--generate-hashes --no-annotate --no-header --universal --python-version 3.11 --output-file deploy/image/build.lock

clean:
	rm -rf .venv .meshport dist

$(INSTALLED): requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $(INSTALLED)
