# Two commands matter: `make run` and `make test`. Both install what is missing first.

BUILD  ?= build
PREFIX ?= /usr/local
SHELL  := /bin/sh
export BUILD

.PHONY: build run test torture reloads senders lint format asan tsan fuzz bench docs install clean
.DEFAULT_GOAL := build

# $(call cmake_build,DIR,options): configure and build, one at a time for each directory.
cmake_build = tools/build $(1) $(2)

packages-run packages-test packages-senders packages-lint packages-bench: packages-%:
	@tools/install-packages run $(filter-out run,$*)

build: packages-run
	@$(call cmake_build,$(BUILD))

run: packages-run
	@TARGET=tidegate $(call cmake_build,$(BUILD))
	@exec $(BUILD)/tidegate serve -c config.lua

test: packages-test
	@$(call cmake_build,$(BUILD))
	@tools/run-tests $(BUILD)

torture: packages-run
	@TARGET=tidegate $(call cmake_build,$(BUILD))
	@$(BUILD)/tidegate run tools/torture.lua

reloads: packages-run
	@TARGET=tidegate $(call cmake_build,$(BUILD))
	@$(BUILD)/tidegate run tools/reloads.lua

senders: packages-senders
	@TARGET=tidegate $(call cmake_build,$(BUILD))
	@tools/run-senders $(BUILD)

asan: packages-test
	@$(call cmake_build,build-asan,-DSANITIZE=address)
	@tools/run-tests build-asan

tsan: packages-test
	@$(call cmake_build,build-tsan,-DSANITIZE=thread)
	@tools/run-tests build-tsan

fuzz: packages-lint
	@$(call cmake_build,build-fuzz,-DFUZZ=ON -DSANITIZE=address -DSPECS=OFF -DCMAKE_C_COMPILER=clang)
	@tools/run-fuzzers build-fuzz

lint: packages-lint build
	@tools/lint

format: packages-lint
	@clang-format -i $$(git ls-files 'runtime/*.[ch]' 'spec/*.[ch]' 'bench/*.[ch]')

bench: packages-bench
	@TARGET=tidegate $(call cmake_build,$(BUILD))
	@bench/run

docs: build
	@$(BUILD)/tidegate run tools/generate_docs.lua

install: packages-run
	@$(call cmake_build,build-install,-DEMBED=ON -DSPECS=OFF -DCMAKE_INSTALL_PREFIX=$(PREFIX))
	@DESTDIR=$(DESTDIR) cmake --install build-install

clean:
	rm -rf build build-asan build-tsan build-fuzz build-install build-clang
