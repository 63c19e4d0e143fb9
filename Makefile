# make test is the whole check. It installs what it needs into .cache,
# deploy/testbed/.cache and cmd/cpis/browser/node_modules, and needs Go; the suite on real
# services needs Java 17, Maven and redis-server, the one in a browser Node.js 20 and
# Chromium (or root on Debian, which installs redis-server and Chromium).

STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.0
export GOFLAGS = -mod=readonly

.PHONY: test quick lint unit browser screens real bench fuzz

test: quick browser real

quick: lint unit

lint:
	@test -z "$$(gofmt -l . | tee /dev/stderr)" || { echo "run gofmt -w on the files above"; exit 1; }
	go vet ./...
	@mkdir -p .cache/bin
	@test -x .cache/bin/staticcheck || GOFLAGS= GOBIN=$(CURDIR)/.cache/bin go install $(STATICCHECK)
	.cache/bin/staticcheck ./...

unit:
	go test -race -timeout 10m -skip 'Real|Browser' ./...

# Each user's story, told by a browser to the demo. Where there is none it says
# SKIPPED and why; with CPIS_REQUIRE_REAL=1 it fails instead. Pictures for the
# documentation are taken anew by make screens.
browser:
	@set -e; \
	env=$$(deploy/testbed/browser) || { code=$$?; [ $$code = 3 ] && [ -z "$$CPIS_REQUIRE_REAL" ] && exit 0; exit 1; }; \
	eval "$$env"; \
	go test -v -count=1 -timeout 10m -run Browser ./cmd/cpis

screens:
	@mkdir -p connectors/console/screens
	CPIS_SCREENS=$(CURDIR)/connectors/console/screens $(MAKE) browser

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
