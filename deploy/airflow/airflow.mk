# Airflow: included by the Makefile. Its environment holds no job code, and the jobs' environment no Airflow.

.PHONY: airflow
airflow: .venvs/local/.complete .venvs/airflow/.complete ## start Airflow with the DAGs on this machine
	.venvs/local/bin/python -m deploy.airflow.control up

.PHONY: airflow-down
airflow-down: ## stop what `make airflow` started
	if [ -x .venvs/local/bin/python ]; then .venvs/local/bin/python -m deploy.airflow.control down; fi

.PHONY: test-dags
test-dags: packages .venvs/dev/.complete .venvs/airflow-test/.complete ## the DAGs in Airflow's own environment
	.venvs/airflow-test/bin/python -m pytest -m "not slow and not bench" tests/dags

.PHONY: test-dags-slow
test-dags-slow: packages-slow .venvs/dev/.complete .venvs/airflow-test/.complete ## a week backfilled twice, Airflow on Postgres
	.venvs/airflow-test/bin/python -m pytest -m "slow and not bench" tests/dags

.PHONY: chaos-airflow
chaos-airflow: packages-slow .venvs/dev/.complete .venvs/airflow-test/.complete ## its scheduler killed in each task, its database gone for a minute
	.venvs/airflow-test/bin/python -m pytest -m slow -s tests/dags/test_faults.py

.PHONY: bench-dags
bench-dags: packages .venvs/dev/.complete .venvs/airflow-test/.complete ## what Airflow costs: time beside `nightshelf run`, memory
	.venvs/airflow-test/bin/python -m pytest -m bench -s --timeout 3600 tests/dags

.PHONY: lock-dags
lock-dags: $(UV)
	$(COMPILE) --extra dags -o deploy/requirements/dags.txt
	$(COMPILE) --extra dags --extra kubernetes -o deploy/requirements/dags-kubernetes.txt
	$(COMPILE) --extra dags --group airflow-test -o deploy/requirements/dags-test.txt

.venvs/airflow/.complete: deploy/requirements/dags.txt | $(UV)
	$(UV) venv --quiet --allow-existing --python $(PYTHON) .venvs/airflow
	$(UV) pip sync --quiet --compile-bytecode --python .venvs/airflow --require-hashes $<
	touch $@

.venvs/airflow-test/.complete: deploy/requirements/dags-test.txt | $(UV)
	$(UV) venv --quiet --allow-existing --python $(PYTHON) .venvs/airflow-test
	$(UV) pip sync --quiet --compile-bytecode --python .venvs/airflow-test --require-hashes $<
	touch $@
