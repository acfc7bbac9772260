# make help lists the targets.
GO ?= go

.PHONY: help test test-purego test-race gen check-gen lint

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | sort | expand -t 16

test: ## all tests that need only Go
	$(GO) test ./...

test-purego: ## the same without assembly
	$(GO) test -tags purego ./...

test-race: ## the same under the race detector
	$(GO) test -race ./...

gen: ## write the generated assembly
	cd asm/_gen && $(GO) run ./amd64 -dir ..

check-gen: gen ## fail if the generated assembly differs from what is committed
	git diff --exit-code -- asm
