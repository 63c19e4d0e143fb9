# make test is the whole check. It installs what it needs into .cache and
# deploy/testbed/.cache, and needs Go; the suite on real services needs Java 17,
# Maven and redis-server (or root on Debian, which installs it).

STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.0
export GOFLAGS = -mod=readonly

.PHONY: test quick lint unit real bench fuzz

test: quick real

quick: lint unit

lint:
	@test -z "$$(gofmt -l . | tee /dev/stderr)" || { echo "run gofmt -w on the files above"; exit 1; }
	go vet ./...
	@mkdir -p .cache/bin
	@test -x .cache/bin/staticcheck || GOFLAGS= GOBIN=$(CURDIR)/.cache/bin go install $(STATICCHECK)
	.cache/bin/staticcheck ./...

unit:
	go test -race -timeout 10m -skip Real ./...

# The end-to-end suite on real Apache Kafka and Redis. Where they cannot be had
# it says SKIPPED and why; with CPIS_REQUIRE_REAL=1 it fails instead.
real:
	@set -e; \
	env=$$(deploy/testbed/up) || { code=$$?; [ $$code = 3 ] && [ -z "$$CPIS_REQUIRE_REAL" ] && exit 0; exit 1; }; \
	trap deploy/testbed/down EXIT; eval "$$env"; \
	go test -race -count=1 -p 1 -timeout 20m -run 'Real' ./...

bench:
	go test -run '^$$' -bench . -benchmem ./...

# Thirty seconds for each fuzz target there is.
fuzz:
	@set -e; for dir in $$(go list -f '{{.Dir}}' ./...); do \
	  for target in $$(cd $$dir && go test -list '^Fuzz' . | grep '^Fuzz' || true); do \
	    echo "$$dir $$target"; (cd $$dir && go test -run '^$$' -fuzz "^$$target\$$" -fuzztime 30s .); \
	  done; \
	done
