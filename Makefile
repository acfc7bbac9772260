# make help lists the targets.
GO ?= go
FUZZ_EXECUTIONS ?= 20000

.PHONY: help build demo test test-purego test-race test-arm64 test-ort gen gen-proto check-gen lint fuzz

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | sort | expand -t 16

build: ## the command, as build/narrow
	$(GO) build -trimpath -o build/narrow ./cmd/narrow

demo: ## quantize the built-in network and compare the options
	$(GO) run ./cmd/narrow demo

test: ## all tests that need only Go
	$(GO) test ./...

test-purego: ## the same without assembly
	$(GO) test -tags purego ./...

test-race: ## the same under the race detector
	$(GO) test -race -short ./...

gen: ## write the generated code
	cd asm/_gen && $(GO) run ./amd64 -dir .. && $(GO) run ./arm64 -dir ..

gen-proto: ## write the messages of the ONNX format (needs protoc)
	GOBIN=$(CURDIR)/build/bin $(GO) install google.golang.org/protobuf/cmd/protoc-gen-go
	PATH="$(CURDIR)/build/bin:$$PATH" protoc --go_out=. --go_opt=paths=source_relative onnx/internal/onnxpb/onnx.proto

check-gen: gen gen-proto ## fail if generated code differs from what is committed
	git diff --exit-code -I 'protoc  *v' -- asm onnx/internal

lint: ## staticcheck
	$(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2 ./...

fuzz: ## every fuzz target for FUZZ_EXECUTIONS runs
	.ci/fuzz $(FUZZ_EXECUTIONS)

ARM64_CPUS = cortex-a53:neon neoverse-n1:dotprod max:i8mm

test-arm64: ## kernel tests for arm64 under qemu-user, one processor for each tier
	cd asm/_gen && $(GO) test ./arm64
	mkdir -p build
	GOARCH=arm64 CGO_ENABLED=0 $(GO) test -c -o build/asm.arm64.test ./asm
	cd asm && for c in $(ARM64_CPUS); do \
		echo "== $$c"; \
		NARROW_REQUIRE_CPU=$${c#*:} qemu-aarch64-static -cpu $${c%:*} ../build/asm.arm64.test -test.short || exit 1; \
	done

NARROW_SHARED ?= ../shared
PYTHON ?= build/venv/bin/python

build/venv/bin/python: test/ort/requirements.txt
	python3 -m venv build/venv
	build/venv/bin/pip install -q -r $<
	touch $@

test-ort: build $(PYTHON) ## quantize real models and run them in ONNX Runtime
	$(PYTHON) test/ort/check.py build/narrow $(NARROW_SHARED)
	NARROW_PYTHON=$(abspath $(PYTHON)) $(GO) test -run ONNXRuntime ./graph/op
