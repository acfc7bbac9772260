# make help lists the targets.
GO ?= go

.PHONY: help test test-purego test-race gen gen-proto check-gen lint test-arm64

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | sort | expand -t 16

test: ## all tests that need only Go
	$(GO) test ./...

test-purego: ## the same without assembly
	$(GO) test -tags purego ./...

test-race: ## the same under the race detector
	$(GO) test -race ./...

gen: ## write the generated assembly
	cd asm/_gen && $(GO) run ./amd64 -dir .. && $(GO) run ./arm64 -dir ..

gen-proto: ## write the generated messages of the ONNX format (needs protoc)
	GOBIN=$(CURDIR)/build/bin $(GO) install google.golang.org/protobuf/cmd/protoc-gen-go
	PATH="$(CURDIR)/build/bin:$$PATH" protoc --go_out=. --go_opt=paths=source_relative onnx/internal/onnxpb/onnx.proto

check-gen: gen ## fail if the generated assembly differs from what is committed
	git diff --exit-code -- asm

ARM64_CPUS = cortex-a53:neon neoverse-n1:dotprod max:i8mm

test-arm64: ## kernel tests for arm64 under qemu-user, one processor for each tier
	cd asm/_gen && $(GO) test ./arm64
	mkdir -p build
	GOARCH=arm64 CGO_ENABLED=0 $(GO) test -c -o build/asm.arm64.test ./asm
	cd asm && for c in $(ARM64_CPUS); do \
		echo "== $$c"; \
		NARROW_REQUIRE_CPU=$${c#*:} qemu-aarch64-static -cpu $${c%:*} ../build/asm.arm64.test -test.short || exit 1; \
	done
