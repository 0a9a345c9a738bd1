# The front door. `make` alone lists the targets.

# What `make lab` and `make lab-hosts` take: HOSTS=1, 3, 3+1 ...; KUBERNETES=v1.34.1, v1.25.4 or v1.24.17.
export HOSTS KUBERNETES
GO_SOURCES := $(dir $(wildcard tests/lab/*/main.go))
BUNDLES := v1.34.1 v1.25.4 v1.24.17 workload

.DEFAULT_GOAL := help
.PHONY: help build lint test test-long bench lab lab-hosts lab-down

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build the tool, target/release/provision
	cargo build --release

lint: ## formatting, clippy, shellcheck, go vet
	cargo fmt --check
	cargo clippy --all-targets -- -D warnings
	cargo clippy --test bench -- -D warnings
	shellcheck -x -a -P tests/lab tests/lab/lab
	shellcheck tests/lab/host/* tests/lab/registry/usr/sbin/* tests/long.sh .ci/run
	shellcheck -s sh src/host/*.sh templates/kubelet/service-route.sh
	@for folder in $(GO_SOURCES); do (cd $$folder && echo "go vet $$folder" && go vet . && test -z "$$(gofmt -l .)") || exit 1; done

# The tests would build the bundles as well, but without showing how far they are.
test: ## all tests but the long ones, those on the lab included
	@for version in $(BUNDLES); do tests/lab/lab bundle $$version || exit 1; done
	cargo test

test-long: ## what `make test` leaves out, and all of healing; writes its result into docs/testing.md
	tests/long.sh

bench: ## the speed figures, on the lab
	cargo test --release --test bench

lab: ## a cluster on throw-away hosts of this machine (HOSTS=1|3|3+1, KUBERNETES=v1.34.1|v1.25.4|v1.24.17)
	tests/lab/lab up

lab-hosts: ## only the empty hosts and target/lab/cluster.yml for them (HOSTS=n)
	tests/lab/lab hosts

lab-down: ## take away everything that the lab made
	tests/lab/lab down
