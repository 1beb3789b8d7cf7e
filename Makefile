# SPDX-License-Identifier: GPL-2.0
#
# Composes, builds, boots and tests the patched kernel. Everything that is made
# lies in build/. "make help" lists the targets and what can be set.

.DEFAULT_GOAL := help
.NOTPARALLEL:
# All are phony: compose.py and kbuild know what is up to date.
.PHONY: help setup tree patches headers tests kernel kernels kernel-base run \
	kernel-64k kernel-4k kernel-64k-be kernel-debug kernel-kasan kernel-kcsan \
	kernel-preempt tests-be be-setup kernel-gdb check check-long check-base check-fixes check-tools \
	check-patches judges \
	kernel-base-4k kernel-fixes kernel-guest am bisect base-7.2 base-7.3 \
	gates fuzz fuzz-selftest fuzz-corpus fuzz-abi stress latency \
	bench figures profile lines build-configs deb lint docs kunit clean \
	run-qemu run-dpdk client-setup gdb proofs provers

POWERNV := tools/testing/powernv
SELFTEST := tools/testing/selftests/vfio/spapr
BASE ?=
# Another base has a folder of its own, by its version: build/7.2.
BASE_VERSION = $(shell sed -n 's/^VERSION = //p;s/^PATCHLEVEL = /./p' \
	'$(BASE)/Makefile' | tr -d '\n')
BUILD := $(CURDIR)/build$(if $(BASE),/$(BASE_VERSION))
CROSS_COMPILE ?= powerpc64le-linux-gnu-
JOBS ?= $(shell nproc)
export CROSS_COMPILE
BE_CROSS_COMPILE ?= powerpc64-linux-gnu-
export BE_CROSS_COMPILE
export POWERNV_BUILD := $(BUILD)

# Variables that the caller can set; see help.
PAGES ?=
DEBUG ?=
MACHINE ?=
TEST ?=
FILTER ?=
WORDS ?=
PLAYS ?=
HOST_WORDS ?=
GDB ?=
UNTIL ?=
BOOT ?=
FROM ?=
TO ?=
TREE ?=
DEB_FLAVOUR ?= powerpc64le
DEB_VERSION ?= $(or $(if $(BASE),$(BASE_VERSION)),6.12)
SEED ?= $(shell date +%s)
STEPS ?= 20000
SECONDS ?= 600
TIME ?=
FUZZERS ?=
V ?=

FRAGMENT_64k :=
FRAGMENT_4k := --fragment 4k-pages.config
FRAGMENT_64k-be := --fragment big-endian.config --cross $(BE_CROSS_COMPILE)
FRAGMENT_debug := --fragment debug.config
FRAGMENT_kasan := $(FRAGMENT_debug) --fragment kasan.config
FRAGMENT_kcsan := --fragment kcsan.config
FRAGMENT_preempt := --fragment preempt.config
FRAGMENT_gdb := --fragment gdb.config
TARGETS_gdb := vmlinux scripts_gdb
COMPOSE := $(POWERNV)/compose.py --build $(BUILD) $(if $(BASE),--base '$(BASE)')
BASE_TREE := $(or $(abspath $(BASE)),$(BUILD)/base)

# A run on one machine needs one kernel. Kernels that check themselves are slow,
# and a preemptible one is for races: they are built for check-long, or if DEBUG
# names them.
DEBUG_KERNELS := debug kasan kcsan preempt
ALL_DEBUG := $(if $(MACHINE),debug,$(DEBUG_KERNELS))
ONLY := $(or $(if $(filter 1,$(DEBUG)),$(ALL_DEBUG),$(DEBUG)),$(PAGES))
WHOLE := $(if $(MACHINE)$(TEST)$(FILTER)$(ONLY)$(BASE),,yes)
KERNELS := $(or $(ONLY),$(if $(MACHINE),64k,64k 4k))
OUT_64k := $(BUILD)/k64
OUT_4k := $(BUILD)/k4
OUT_64k-be := $(BUILD)/k64-be
OUT_debug := $(BUILD)/k64-debug
OUT_kasan := $(BUILD)/k64-kasan
OUT_kcsan := $(BUILD)/k64-kcsan
OUT_preempt := $(BUILD)/k64-preempt
OUT_gdb := $(BUILD)/k64-gdb

comma := ,
empty :=
ONLY_LIST := $(subst $(empty) $(empty),$(comma),$(strip $(ONLY)))
CHECK_ARGS := $(if $(MACHINE),--machine $(MACHINE)) \
	$(if $(ONLY),--kernels $(ONLY_LIST)) \
	$(if $(TEST),--tests '$(TEST)') $(if $(FILTER),--filter '$(FILTER)') \
	$(if $(V),--verbose)

define HELP
try
  make run              boot a POWER9 host, show the main job at work: 5 minutes
  make run-qemu         a KVM guest with a passed-through network card
                        (WORDS=nvme: a disk, by QEMU's own driver and iommufd)
  make run-dpdk         DPDK sends packets (4 KiB pages; WORDS=hugepages: 64;
                        WORDS=type1: by iommufd; both: WORDS='hugepages type1')

test
  make check            all tests, clients and gates, as CI: up to an hour
  make check-long       the same on all kernels that check themselves, and long
                        fuzzing: hours
  make judges           the VFIO selftests of Linux 7.2, which judge iommufd from
                        outside (part of check)
  make check-base       the tests on the unpatched base, where many fail
  make check-fixes      what the fixes mend, on the base with the fixes alone
  make check-tools      the tools that test (part of check)
  make gates            lint, build-configs, fuzz and proofs, as check does
  make lint             checkpatch of files and series, kernel-doc, sparse,
                        coccinelle, W=1 of gcc and clang, docs
  make build-configs    compile what is ours in six other configurations
  make docs             build the documentation (build/docs) without a warning
  make proofs           of what goes without a lock, by herd7, and of what is
                        reckoned, by cbmc
  make fuzz             fuzz index, registry, view and tables on this machine
  make fuzz-selftest    plant faults, which the fuzzers have to find
  make fuzz-abi         random calls against a model (SEED= STEPS=)
  make stress           everything at once, on 4 CPUs (SEED= SECONDS=)
  make kunit            the kernel's kunit.py runs our KUnit suites

measure
  make bench            ours and the base: instructions, memory; 35 minutes
  make profile          the functions in which a call's instructions are
  make lines            the cache lines that calls of two CPUs both write
  make latency          the longest times without scheduling
  make figures          write the results of bench and check into README,
                        series/cover and Documentation

series
  make tree             compose build/linux from the base and our files
  make patches          write the series for git am, a folder for each part
                        (build/patches)
  make am TREE=PATH     apply them to a git tree of the kernel
  make check-patches    apply them with git am and quilt, and compare
  make bisect           compile what each step touches, in order (BOOT=1: and run
                        tests after the steps that name some; FROM=STEP TO=STEP)
  make deb              a Debian package for ppc64el (build/deb): 90 minutes
  make base-7.2         unpack current mainline, for BASE=build/base-7.2;
                        base-7.3: the next version, from experimental

maintain
  make setup            install with apt what run and check need
  make kernel           build it (build/k64; PAGES=4k: build/k4; DEBUG=...)
  make kernel-base      build the base (build/kbase)
  make tests            build the test programs (build/tests)
  make gdb              a test with gdb on the kernel (MACHINE= TEST= FILTER=)
  make fuzz-corpus      take what the fuzzers found into the corpus
  make clean            remove build/

variables
  MACHINE=NAME          powernv9, powernv9-hash, powernv8, pseries, pseries8; and,
                        in check-long, powernv10, pseries9, pseries10
  TEST=NAME,...         test programs        FILTER=GLOB,...  test cases
  PAGES=64k|4k|64k-be   the page size of the kernel; -be: a big-endian one
  DEBUG=1               kernels that check themselves: debug (lockdep and more),
                        kasan, kcsan, and preempt, which is preemptible; with
                        MACHINE, debug; DEBUG=NAME, that one
  BASE=FOLDER           an unpacked kernel source as the base
  UNTIL=PART            patches, am: leave out the parts behind this one
  SEED=N STEPS=N SECONDS=N   for fuzz-abi and stress
  TIME=SECONDS          for each fuzzer, 20  FUZZERS=NAME ...
  WORDS=WORD            run-qemu: for the guest's kernel, as disable_ddw
  PLAYS=NAME,...        run-qemu, run-dpdk: plays of that client, by name
  HOST_WORDS=WORD       the same: for the host's kernel, as iommu=nobypass
  GDB=WORDS             for gdb, as -ex "break tce_map"
  DEB_FLAVOUR=NAME      powerpc64le (4 KiB pages), powerpc64le-64k
  JOBS=N                compilers, and fuzzers, at a time
  V=1                   show the whole console

Each target builds what it needs, and names what it installs before it does.
endef

help:
	@: $(info $(HELP))

setup:
	@$(POWERNV)/setup

tree: setup
	@$(COMPOSE)

patches: setup
	@$(COMPOSE) --patches $(BUILD)/patches $(if $(UNTIL),--until $(UNTIL))

# Onto a kernel's git tree, which has to be at the version of the base.
am: patches
	@[ -d '$(TREE)' ] || { echo 'TREE= is to be a git tree of the kernel'; exit 1; }
	@for part in $(BUILD)/patches/[0-9]*-*/; do \
		git -C '$(TREE)' am -q $$part* || exit; echo "applied $$part"; done

# Applied with git am and with quilt, the series gives build/linux.
check-patches: tree patches
	@$(POWERNV)/setup --patches
	@$(POWERNV)/check_patches.py --base $(BASE_TREE) --build $(BUILD)

# Compiles what each step of the series touches, in order.
bisect: kernel-64k $(if $(BOOT),tests)
	@$(POWERNV)/bisect_series.py --base $(BASE_TREE) --build $(BUILD) \
		--jobs $(JOBS) $(if $(BOOT),--boot) \
		$(if $(FROM),--from $(FROM)) $(if $(TO),--to $(TO))

# Current mainline as another base, and its next version.
SUITE_7.2 := unstable
SUITE_7.3 := experimental
base-7.2 base-7.3: base-%: setup
	@$(POWERNV)/fetch --suite $(SUITE_$*) linux-source-$* \
		build/linux-source-$*
	@[ -d build/base-$* ] || { mkdir -p build/base-$*.new && \
		tar -xf build/linux-source-$*/usr/src/linux-source-$*.tar.* \
			-C build/base-$*.new --strip-components=1 && \
		mv build/base-$*.new build/base-$*; }
	@echo build/base-$*

headers: tree
	@$(MAKE) -s -C $(BUILD)/linux O=$(BUILD)/headers ARCH=powerpc headers \
		>$(BUILD)/headers.log 2>&1 || \
		{ cat $(BUILD)/headers.log; exit 1; }

# Built anew each time, so that no old program is run; that takes seconds. The
# list tells tests from other programs.
TEST_MAKE = $(MAKE) -s -C $(BUILD)/linux/$(SELFTEST) OUTPUT=$(BUILD)/$@ \
	ARCH=powerpc KHDR_INCLUDES='-isystem $(BUILD)/headers/usr/include' \
	CROSS_COMPILE=$(if $(filter %-be,$@),$(BE_CROSS_COMPILE),$(CROSS_COMPILE))
tests tests-be: headers
	@rm -rf $(BUILD)/$@
	@mkdir -p $(BUILD)/$@
	@$(TEST_MAKE) -j$(JOBS) all
	@$(TEST_MAKE) --no-print-directory COLLECTION=t emit_tests | \
		sed -n 's/^t://p' >$(BUILD)/$@/.list

kernels: $(addprefix kernel-,$(KERNELS))

kernel: $(addprefix kernel-,$(or $(ONLY),64k))

# The compiler of big-endian kernel and tests.
kernel-64k-be tests-be: be-setup
be-setup: setup
	@$(POWERNV)/setup --big-endian

kernel-64k kernel-4k kernel-64k-be kernel-debug kernel-kasan kernel-kcsan \
kernel-preempt kernel-gdb: kernel-%: tree
	@$(POWERNV)/kernel.py --tree $(BUILD)/linux --out $(OUT_$*) --jobs $(JOBS) \
		--label 'kernel $*' $(FRAGMENT_$*) $(TARGETS_$*)

# Static gates, configurations that no machine here boots, and fuzzers: each is
# one result, and build/gates.txt has them for check.
GATES = BUILD=$(BUILD) BASE_TREE=$(BASE_TREE) $(POWERNV)/gates.py
gates: kernel-64k provers
	@rm -f $(BUILD)/gates.txt
	@$(GATES) short || [ -s $(BUILD)/gates.txt ]

# These are not in Debian 12. They run with libraries of their own, from where they
# were unpacked; without one the gates skip what it would prove.
provers: setup
	@$(POWERNV)/fetch --suite unstable herdtools7 libc6 libgmp10 build/herd || \
		echo 'no herd7: litmus tests are skipped'
	@$(POWERNV)/fetch --suite trixie cbmc minisat libc6 libstdc++6 libgcc-s1 \
		zlib1g build/cbmc || echo 'no cbmc: proofs are skipped'

# The kernel's own documentation build. A message about a file of ours is an
# error.
docs: tree
	@$(POWERNV)/setup --docs
	@$(POWERNV)/docs

# By the kernel's own tool, in a kernel and on a machine of its own.
kunit: tree
	@cd $(BUILD)/linux && PYTHONDONTWRITEBYTECODE=1 tools/testing/kunit/kunit.py run --arch=powernv \
		--cross_compile=$(CROSS_COMPILE) --jobs=$(JOBS) \
		--build_dir=$(BUILD)/kunit --kunitconfig=arch/powerpc/kernel/tce

lint: kernel-64k
	@$(GATES) lint

build-configs: tree
	@$(GATES) builds

proofs: tree provers
	@$(GATES) proofs

FUZZ = $(MAKE) -s --no-print-directory -C $(BUILD)/linux/tools/testing/tce \
	OUTPUT=$(BUILD)/fuzz -j$(JOBS) $(if $(FUZZERS),FUZZERS='$(FUZZERS)')
fuzz: tree
	@$(FUZZ) fuzz $(if $(TIME),TIME=$(TIME))

fuzz-selftest: tree
	@$(FUZZ) selftest

# The corpus in the tree is made from the repository's.
fuzz-corpus: tree
	@$(FUZZ) corpus
	@cp $(BUILD)/linux/tools/testing/tce/corpus/*.hex tools/testing/tce/corpus/

kernel-base: setup
	@$(COMPOSE) --base-only
	@$(POWERNV)/kernel.py --tree $(BASE_TREE) --out $(BUILD)/kbase --lenient \
		--jobs $(JOBS) --label 'kernel base'

# For rows of "make bench" that have to do with the host's page size.
kernel-base-4k: kernel-base
	@$(POWERNV)/kernel.py --tree $(BASE_TREE) --out $(BUILD)/kbase4 --lenient \
		--jobs $(JOBS) --label 'kernel base 4k' $(FRAGMENT_4k)

DEB_TARGETS = vmlinux modules

# The guest of plays with hot-plug: the base, which our changes do not touch.
kernel-guest: setup
	@$(COMPOSE) --base-only
	@$(POWERNV)/kernel.py --tree $(BASE_TREE) --out $(BUILD)/kguest --lenient \
		--jobs $(JOBS) --label 'kernel guest' --fragment client-guest.config

# A package for ppc64el, by the kernel's own bindeb-pkg. It takes long, and goes
# on where it stopped. It has no headers: these need libraries of ppc64el here.
DEB_CONFIG = $(BUILD)/linux-config/usr/src/linux-config-$(DEB_VERSION)/config.ppc64el_none_$(DEB_FLAVOUR).xz
DEB_KERNEL = $(POWERNV)/kernel.py --tree $(BUILD)/linux --out $(BUILD)/deb/kernel \
	--config $(DEB_CONFIG) --fragment deb.config --jobs $(JOBS)
deb: tree
	@$(POWERNV)/setup --deb
	@$(POWERNV)/fetch --arch ppc64el $(if $(BASE),--suite unstable) \
		linux-config-$(DEB_VERSION) $(BUILD)/linux-config
	@mkdir -p $(BUILD)/deb
	@$(DEB_KERNEL) --label 'deb' $(DEB_TARGETS)
ifeq ($(origin DEB_TARGETS),file)
	@DEB_BUILD_PROFILES=pkg.linux-upstream.nokernelheaders \
		$(DEB_KERNEL) --label 'deb package' bindeb-pkg
	@ls -l $(BUILD)/deb/*.deb
endif

run: kernel-64k tests
	@$(POWERNV)/boot.py powernv9 --run spapr_demo

# Stops before the first instruction, with gdb on it.
gdb: kernel-gdb tests
	@$(POWERNV)/setup --gdb
	@$(POWERNV)/debug $(OUT_gdb) $(or $(MACHINE),powernv9) \
		$(if $(TEST),--tests '$(TEST)') \
		$(if $(FILTER),--filter '$(FILTER)') -- $(GDB)

# Debian's QEMU and DPDK as clients.
run-qemu run-dpdk: run-%: client-setup
	@$(POWERNV)/client.py $* $(or $(MACHINE),powernv9) \
		--kernel $(CLIENT_KERNEL)/vmlinux \
		$(if $(WORDS),--words '$(WORDS)') \
		$(if $(PLAYS),--plays '$(PLAYS)') \
		$(if $(HOST_WORDS),--host-words '$(HOST_WORDS)') $(if $(V),--verbose)
run-qemu: CLIENT_KERNEL := $(OUT_64k)
run-qemu: kernel-64k $(if $(PLAYS),kernel-guest)
DPDK_64k := $(findstring hugepages,$(WORDS))$(PLAYS)
run-dpdk: CLIENT_KERNEL := $(if $(DPDK_64k),$(OUT_64k),$(OUT_4k))
run-dpdk: $(if $(DPDK_64k),kernel-64k,kernel-4k)

client-setup:
	@$(POWERNV)/setup --client

check-tools: tree
	@$(POWERNV)/selftest.py

# With nothing chosen it is what CI runs.
check: check-tools kernels tests $(if $(filter %-be,$(KERNELS)),tests-be) \
		$(if $(WHOLE),gates)
	@$(POWERNV)/check.py $(CHECK_ARGS) \
		$(if $(WHOLE),--results $(BUILD)/gates.txt)

# Builds the VFIO selftests of Linux 7.2 first.
judges: kernels
	@$(POWERNV)/check.py --judges $(CHECK_ARGS)

# All that takes too long for CI.
check-long: check-tools provers kernel-64k kernel-4k kernel-64k-be kernel-guest \
		$(addprefix kernel-,$(DEBUG_KERNELS)) tests tests-be
	@rm -f $(BUILD)/gates.txt
	@$(GATES) short long || [ -s $(BUILD)/gates.txt ]
	@$(POWERNV)/check.py --long --results $(BUILD)/gates.txt

check-base: kernel-base tests
	@$(POWERNV)/check.py --base $(CHECK_ARGS)

# The base with the first part of the series, which is in its own code.
kernel-fixes: setup
	@$(COMPOSE) --base-only
	@$(POWERNV)/compose.py --base $(BASE_TREE) --build $(BUILD)/fixes --until fixes
	@$(POWERNV)/kernel.py --tree $(BUILD)/fixes/linux --out $(BUILD)/fixes/k64 \
		--lenient --jobs $(JOBS) --label 'kernel fixes'

check-fixes: kernel-fixes tests
	@$(POWERNV)/check.py --fixes $(CHECK_ARGS)

# Exit status 1 if a limit is missed without a reason; see bench.toml.
bench: kernel-64k kernel-4k kernel-base kernel-base-4k tests
	@$(POWERNV)/setup --bench
	@$(POWERNV)/bench.py --ours $(OUT_64k)/vmlinux

# Writes what was measured to where it is shown.
figures:
	@$(POWERNV)/figures.py

PROFILED := $(or $(MACHINE),powernv9 powernv8)
profile: kernel-64k tests
	@for m in $(PROFILED); do $(POWERNV)/profile_calls.py $$m || exit; done

# Exit status 1 if more are shared than shared_lines.py has.
lines: kernel-64k tests
	@status=0; for m in $(PROFILED); do \
		$(POWERNV)/shared_lines.py $$m || status=$$?; done; exit $$status

# SEED, STEPS and SECONDS say how long; a short run of each is part of check. With
# a kernel that checks itself the timeouts are those that check has for it.
CHOSEN := $(or $(firstword $(ONLY)),64k)
TESTS_CHOSEN := $(if $(filter %-be,$(CHOSEN)),tests-be,tests)
BOOT_CHOSEN = $(POWERNV)/boot.py $(or $(MACHINE),powernv9) --timeout 86400 \
	--kernel $(OUT_$(CHOSEN))/vmlinux --tests-dir $(BUILD)/$(TESTS_CHOSEN) \
	$(if $(DEBUG),--quiet 1800 --test-timeout 2160)
fuzz-abi: kernel-$(CHOSEN) $(TESTS_CHOSEN)
	@$(BOOT_CHOSEN) --icount --tests spapr_fuzz \
		--args 'SEED=$(SEED) STEPS=$(STEPS)'

stress: kernel-$(CHOSEN) $(TESTS_CHOSEN)
	@$(BOOT_CHOSEN) --smp 4 --tests spapr_stress_race \
		--extra-append 'loglevel=6$(if $(DEBUG), watchdog_thresh=60)' \
		--args 'SEED=$(SEED) SECONDS=$(SECONDS)'

latency: kernel-$(CHOSEN) $(TESTS_CHOSEN)
	@for m in $(or $(MACHINE),powernv9 powernv8); do echo $$m; \
		$(POWERNV)/boot.py $$m --kernel $(OUT_$(CHOSEN))/vmlinux \
			--tests-dir $(BUILD)/$(TESTS_CHOSEN) \
			--extra-append 'hugepagesz=1G hugepages=1' \
			--icount --run spapr_latency || exit 1; done

clean:
	rm -rf build
