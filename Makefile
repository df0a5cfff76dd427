# SPDX-License-Identifier: GPL-2.0
#
# For people. What kbuild needs is in the file Kbuild, so kbuild never reads this.

# Kernel build tree to compile the module against
KDIR ?= /lib/modules/$(shell uname -r)/build
# Kernel that `check`, `demo` and `vm` boot; scripts/vm/kernel --list knows the names
KERNEL ?= 6.1
# Where `install` puts the command
PREFIX ?= /usr/local

MAKEFLAGS += --no-print-directory
export V PREFIX DESTDIR KDIR

.PHONY: all module tools selftests demo check check-matrix check-long check-debug static-checks vm \
	install uninstall dkms-install dkms-uninstall dkms-test clean help

all: module tools ## the module and the command (the default)

module: ## mmapscope.ko for the kernel in KDIR
	@scripts/preflight '$(KDIR)'
	$(MAKE) -C '$(KDIR)' M='$(CURDIR)' modules

tools: ## the command tools/mmapscope and its man page
	@scripts/deps build
	$(MAKE) -C tools

selftests: ## the test programs, in build/selftests
	@scripts/deps build
	$(MAKE) -C selftests O='$(CURDIR)/build/selftests' KSFT="$$(scripts/vm/kselftest-headers)"

demo: ## a page fault, a dirty page, a writeback and an msync, seen in a throw-away VM
	@scripts/demo --kernel '$(KERNEL)'

check: ## all tests, in throw-away VMs
	@scripts/check --kernel '$(KERNEL)'

check-matrix: ## the same on every kernel that scripts/cells lists; a table at the end
	@scripts/matrix

check-long: ## 60 power cuts, and what they show without a flush (15 minutes and more)
	@scripts/powercut --kernel '$(KERNEL)' --store block --store ext4 --store xfs --cycles 20 --controls

check-debug: ## the same on kernels with all of their checkers (built once, 6 to 15 minutes each)
	@scripts/matrix --set debug $(filter %-debug,$(KERNEL))

static-checks: ## warnings, sparse, checkpatch, shellcheck, symbols, build for the newest kernel
	@scripts/checks/static

vm: ## a shell in a throw-away VM with the module loaded
	@scripts/shell --kernel '$(KERNEL)'

install: all ## the module (for the kernel in KDIR), the command, its manual page, the udev rule
	@scripts/install module
	@scripts/install files

uninstall: ## remove what install put there
	@scripts/install remove-module
	@scripts/install remove-files

dkms-install: tools ## the same, with the module built by DKMS for this and later kernels
	@scripts/dkms install
	@scripts/install files

dkms-uninstall: ## remove what dkms-install put there, for all kernels
	@scripts/dkms uninstall
	@scripts/install remove-files

dkms-test: ## prove dkms-install in Debian 12 and 13 in VMs, with a kernel upgrade (15 to 25 minutes each)
	@scripts/dkms-test

clean: ## remove what was built; the cache stays
	@test ! -e '$(KDIR)/Makefile' || $(MAKE) -C '$(KDIR)' M='$(CURDIR)' clean
	$(MAKE) -C tools clean
	rm -rf build

help: ## this text
	@echo 'Targets:'
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1	\2/p' Makefile | expand -t 18
	@echo 'Variables:'
	@echo '  KDIR            kernel build tree for the module ($(KDIR))'
	@echo '  KERNEL          kernel for the VM: $(shell scripts/vm/kernel --list | paste -sd " ") ($(KERNEL))'
	@echo '  PREFIX, DESTDIR where install puts the command ($(PREFIX))'
	@echo '  V=1             show every command, and the boot of the VMs'
	@echo '  MMAPSCOPE_CACHE kernels, chroots, sources (~/.cache/mmapscope)'
	@echo '  MMAPSCOPE_NO_INSTALL=1  never install packages, say what is missing'
	@echo '  MMAPSCOPE_ACCEL kvm or tcg instead of a probe'
