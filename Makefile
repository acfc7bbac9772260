# make help lists the targets.
GO ?= go
FUZZ_EXECUTIONS ?= 5000

.PHONY: help conformance-cases schema bench-large operators test-export bench-export build mutate release-check lib wheel wheels test-python demo test test-purego test-race test-arm64 count-arm64 test-ort test-networks test-cases test-mutations bench-networks bench-options bench-target bench-zoo bench-weights bench-blocks networks gen gen-proto check-gen lint fuzz bench bench-peers

help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | sort | expand -t 16

BUILD ?= build
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)

build: ## the command, as build/narrow: static, stripped, with its version
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o $(BUILD)/narrow ./cmd/narrow

mutate: ## changes of the code that tests must see: bench/results/mutations.md (an hour)
	$(GO) run ./test/mutate -o bench/results/mutations.md

release-check: ## what a release holds, for every system, in build/dist
	.ci/release

LIB = build/lib

lib: ## the C library, in build/lib
	$(GO) build -trimpath -buildmode=c-shared -o $(LIB)/libnarrow.so ./capi
	$(GO) build -trimpath -buildmode=c-archive -o $(LIB)/libnarrow.a ./capi
	rm $(LIB)/libnarrow.h
	cp capi/narrow.h $(LIB)/

wheel: ## the Python package for this machine, in build/wheel
	rm -rf build/wheel
	python3 python/wheel.py build/wheel native

WHEEL_PYTHON ?= build/wheel-venv/bin/python

build/wheel-venv/bin/python:
	python3 -m venv build/wheel-venv
	build/wheel-venv/bin/pip install -q ziglang==0.17.1

wheels: $(WHEEL_PYTHON) ## the Python package for every platform, in build/wheels, the C library cross-compiled by zig; looks into them
	rm -rf build/wheels
	$(WHEEL_PYTHON) python/wheel.py build/wheels
	$(WHEEL_PYTHON) python/tests/check_wheels.py build/wheels

demo: ## quantize the built-in network and compare the options
	$(GO) run ./cmd/narrow demo

test: ## all tests that need only Go
	$(GO) test -timeout 30m ./...

test-purego: ## the same without assembly
	$(GO) test -short -timeout 30m -tags purego ./...

test-race: ## the same under the race detector
	$(GO) test -race -short -timeout 30m ./...

gen: ## write the generated code
	cd asm/_gen && $(GO) run ./amd64 -dir .. && $(GO) run ./arm64 -dir ..

schema: $(PYTHON) ## write graph/op/schema.txt, what every operator takes, from the installed onnx and ONNX Runtime
	mkdir -p build
	$(GO) test -run OperatorNames -v ./graph/op | sed -n 's/^operator //p' > build/operators.txt
	$(PYTHON) test/ort/schema.py build/operators.txt graph/op/schema.txt

operators: ## write docs/operators.md from the operator table
	$(GO) test -run OperatorDocs ./graph/op -update

gen-proto: ## write the messages of the ONNX format (needs protoc)
	GOBIN=$(CURDIR)/build/bin $(GO) install google.golang.org/protobuf/cmd/protoc-gen-go
	PATH="$(CURDIR)/build/bin:$$PATH" protoc --go_out=. --go_opt=paths=source_relative onnx/internal/onnxpb/onnx.proto

check-gen: gen gen-proto ## fail if generated code differs from what is committed
	cd asm/_gen && $(GO) test ./amd64
	git diff --exit-code -I 'protoc  *v' -- asm onnx/internal

conformance-cases: $(PYTHON) ## write engine/testdata/cases.zip, calls of operators with what ONNX Runtime gives
	rm -rf build/calls && mkdir -p build/calls
	NARROW_CASES=$(CURDIR)/build/calls NARROW_PYTHON=$(abspath $(PYTHON)) $(GO) test -count=1 -run ONNXRuntime ./graph/op
	$(PYTHON) test/ort/cases.py build/calls engine/testdata/cases.zip

lint: ## staticcheck, and functions of at most 60 lines
	NARROW_LINT=1 $(GO) test -count=1 ./test/style
	$(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2 ./...

fuzz: ## every fuzz target for FUZZ_EXECUTIONS runs
	.ci/fuzz $(FUZZ_EXECUTIONS)

count-arm64: ## instructions in the inner loops for arm64: bench/results/arm64.md
	mkdir -p bench/results
	cd asm/_gen && $(GO) run ./arm64 -dir .. -count ../../bench/results/arm64.md

ARM64_CPUS = cortex-a53:neon neoverse-n1:dotprod max:i8mm

test-arm64: ## kernel tests for arm64 under qemu-user, one processor for each set of features; the command there and here
	cd asm/_gen && $(GO) test ./arm64
	mkdir -p build
	GOARCH=arm64 CGO_ENABLED=0 $(GO) test -c -o build/asm.arm64.test ./asm
	cd asm && for c in $(ARM64_CPUS); do \
		echo "== $$c"; \
		NARROW_REQUIRE_CPU=$${c#*:} qemu-aarch64-static -cpu $${c%:*} ../build/asm.arm64.test -test.short || exit 1; \
	done
	NARROW_QEMU=1 $(GO) test -count=1 ./test/arm64

NARROW_SHARED ?= ../shared
PYTHON ?= build/venv/bin/python

build/venv/bin/python: test/ort/requirements.txt
	python3 -m venv build/venv
	build/venv/bin/pip install -q -r $<
	touch $@

test-python: build wheel $(PYTHON) ## the Python package against NumPy and ONNX Runtime
	$(PYTHON) -m pip install -q --force-reinstall --no-deps build/wheel/narrow_ptq-*.whl
	$(PYTHON) -m pip install -q pytest
	$(PYTHON) -m pytest -q python/tests --import-mode=importlib

test-ort: build $(PYTHON) ## quantize real models and run them in ONNX Runtime
	$(PYTHON) test/ort/check.py build/narrow $(NARROW_SHARED)
	$(PYTHON) test/ort/integers.py build/narrow $(NARROW_SHARED)
	$(PYTHON) test/ort/saturation.py build/narrow $(NARROW_SHARED)
	$(PYTHON) test/ort/targets.py build/narrow $(NARROW_SHARED)
	$(PYTHON) test/ort/decoder.py build/narrow
	NARROW_PYTHON=$(abspath $(PYTHON)) $(GO) test -run ONNXRuntime ./graph/op
	$(PYTHON) test/ort/nodes.py build/nodes
	NARROW_NODE_SUITE=$(CURDIR)/build/nodes $(GO) test -count=1 -run NodeSuite ./engine -table ../bench/results/conformance.md
	NARROW_PYTHON=$(abspath $(PYTHON)) $(GO) test -run Pillow ./dataset

test-export: ## networks as C under gcc, clang and sanitizers, and on boards under qemu; NARROW_EXPORT_FULL=1 is every form, 20 inputs each (an hour)
	NARROW_TOOLCHAINS=1 $(GO) test -count=1 -timeout 2h ./test/export
	NARROW_EXPORT_NETWORKS=$(if $(NARROW_EXPORT_FULL),300,30) $(GO) test -count=1 -timeout 2h -run Random ./export/c

bench-export: ## instructions, flash and RAM of networks as C: bench/results/export.md
	NARROW_TOOLCHAINS=1 NARROW_EXPORT_TABLE=$(CURDIR)/bench/results/export.md $(GO) test -count=1 -timeout 1h -run Table ./test/export

BENCH ?= .
BENCH_TIME ?= 50ms
BENCH_COUNT ?= 6
TIERS ?= avx2 avxvnni avx512

DIFFERENTIAL ?= 200

test-networks: build $(PYTHON) ## networks of several kinds and random ones, in ONNX Runtime
	$(PYTHON) test/networks/check.py build/narrow audio_opset11 mobilenetv3_opset11 vit_opset11 unet_opset17 detector_opset17
	$(PYTHON) test/networks/fuzz.py build/narrow --count 25
	$(PYTHON) test/networks/differential.py build/narrow --count $(DIFFERENTIAL)
	go test ./test/networks -transformers 12

test-cases: build $(PYTHON) ## situations from public reports, against what each must reach
	$(PYTHON) test/cases/check.py build/narrow $(NARROW_SHARED)

MUTATIONS ?= 1000

test-mutations: ## MUTATIONS broken files through the library: no crash, no hang, no huge allocation
	NARROW_MUTATIONS=$(MUTATIONS) $(GO) test -count=1 -v -timeout 10h -run TestMutations ./test/mutation

bench-networks: build $(PYTHON) ## the same, more of it: bench/results/networks.md
	$(PYTHON) test/networks/check.py build/narrow --table bench/results/networks.md
	$(PYTHON) test/networks/fuzz.py build/narrow --count 200 --table bench/results/networks.md

networks: ## train and export testdata/networks anew, with inputs and results; PYTHON must have torch, onnx and ONNX Runtime
	$(PYTHON) testdata/scripts/networks.py
	$(PYTHON) testdata/scripts/inputs.py

bench-zoo: build $(BENCH_PYTHON) ## real networks of other kinds beside onnxruntime.quantization: bench/results/zoo.md (an hour)
	$(BENCH_PYTHON) bench/zoo.py build/narrow bench/results/zoo.md $(NARROW_SHARED)

bench-weights: build $(BENCH_PYTHON) ## weights alone beside ONNX Runtime and NNCF: bench/results/weights.md (half an hour)
	$(BENCH_PYTHON) bench/weights.py build/narrow bench/results/weights.md $(NARROW_SHARED)

bench-blocks: build $(BENCH_PYTHON) ## products by 4-bit weights beside ONNX Runtime: bench/results/blocks.md (minutes)
	$(BENCH_PYTHON) bench/blocks.py build/narrow bench/results/blocks.md

bench-options: ## every option on the shared models: bench/results/options.md (minutes)
	$(GO) run ./bench/options -shared $(NARROW_SHARED) -o bench/results/options.md

bench-target: build ## what --target reaches and costs on the shared networks: bench/results/target.md (an hour)
	python3 bench/target.py build/narrow $(NARROW_SHARED) -o bench/results/target.md

bench: ## kernels: each set of processor features against generic; BENCH chooses some by their names
	mkdir -p build/bench
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchtime $(BENCH_TIME) -count $(BENCH_COUNT) ./asm | tee build/bench/all.txt
	for t in generic $(TIERS); do grep -e '^[a-z]*:' -e "/$$t[-/]" build/bench/all.txt | sed "s,/$$t,," > build/bench/$$t.txt; done
	cd build/bench && $(GO) run golang.org/x/perf/cmd/benchstat@v0.0.0-20260908200009-22c9c6c9d4da $(addsuffix .txt,generic $(TIERS))

BENCH_PYTHON ?= build/bench-venv/bin/python

build/bench-venv/bin/python: bench/requirements.txt
	python3 -m venv build/bench-venv
	build/bench-venv/bin/pip install -q -r $<
	if [ -n "$(BENCH_TORCH)" ]; then build/bench-venv/bin/pip install -q torch; fi
	touch $@

bench-large: build $(BENCH_PYTHON) ## what quantizing large networks costs: bench/results/large.md (minutes, 3 GB of disk)
	$(BENCH_PYTHON) bench/large.py build/narrow bench/results/large.md --peers

bench-peers: build lib $(BENCH_PYTHON) ## narrow beside other libraries: bench/results; BENCH_TORCH=1 adds torch (large)
	$(GO) test -c -o build/asm.test ./asm
	$(BENCH_PYTHON) bench/kernels.py build/asm.test bench/results/kernels.md
	$(BENCH_PYTHON) bench/int8.py build/asm.test bench/results/int8.md
	$(BENCH_PYTHON) bench/python.py build/asm.test $(LIB)/libnarrow.so bench/results/python.md
	$(BENCH_PYTHON) bench/quantize.py build/narrow bench/results/quantize.md $(NARROW_SHARED)
	$(BENCH_PYTHON) bench/inference.py build/narrow bench/results/inference.md
	$(BENCH_PYTHON) bench/peers.py build/narrow bench/results/peers.md
