#
# This Source Code Form is subject to the terms of the Mozilla Public
# License, v. 2.0. If a copy of the MPL was not distributed with this
# file, You can obtain one at https://mozilla.org/MPL/2.0/.
#
# Builds the image of a zone, with the makefiles that Triton uses for all of its images: its repository "eng" must be in deps/eng. This
# runs in a build zone of SmartOS (docs/operator-guide.md). The Makefile has targets with the same names.

NAME := imgapi

# triton-origin-x86_64-21.4.0, and the packages that the image gets in addition to the release. config-agent is a part of the release.
BASE_IMAGE_UUID = 502eeef2-8267-489f-b19c-a206906f57ef
BUILDIMAGE_NAME = imgapi
BUILDIMAGE_DESC = SDC IMGAPI
BUILDIMAGE_DO_PKGSRC_UPGRADE = true
BUILDIMAGE_PKGSRC = mozilla-rootcerts-openssl
AGENTS = amon registrar

ENGBLD_USE_BUILDIMAGE = true
# rustup provides the compiler that rust-toolchain.toml names.
RUST_USE_BOOTSTRAP = false

include deps/eng/tools/mk/Makefile.defs
# eng sets another one.
BUILD_PLATFORM = 20210826T002459Z
include deps/eng/tools/mk/Makefile.agent_prebuilt.defs
include deps/eng/tools/mk/Makefile.rust.defs

RELEASE_TARBALL := $(NAME)-pkg-$(STAMP).tar.gz

.PHONY: all
all: | $(CARGO_EXEC)

.PHONY: release
release: all
	PATH="$(dir $(CARGO_EXEC)):$$PATH" RUSTUP_HOME=$(RUST_TOOLCHAIN_DIR) CARGO_HOME=$(CARGO_HOME) \
		tools/release.sh -s $(STAMP) -o target/packages
	cp target/packages/$(RELEASE_TARBALL) $(TOP)/$(RELEASE_TARBALL)

.PHONY: publish
publish: release
	mkdir -p $(ENGBLD_BITS_DIR)/$(NAME)
	cp $(TOP)/$(RELEASE_TARBALL) $(ENGBLD_BITS_DIR)/$(NAME)/$(RELEASE_TARBALL)

include deps/eng/tools/mk/Makefile.deps
include deps/eng/tools/mk/Makefile.agent_prebuilt.targ
include deps/eng/tools/mk/Makefile.rust.targ
include deps/eng/tools/mk/Makefile.targ
