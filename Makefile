# Two commands matter: `make demo` shows what rowhook does, `make test` proves it. Both install what is missing.

.DEFAULT_GOAL := help
.PHONY: help demo test matrix torture sequences clustered bench instructions fuzz docs clients lint build dist dist-reproducible dist-check chart postgres versions django apps peers browser schemathesis generators mdbook

help:
	@echo "make demo [SECONDS=20]   the main job on a throwaway Postgres, in the terminal and on the page"
	@echo "make test                all tests, and on other versions of Postgres those that depend on it"
	@echo "make matrix              all tests that speak with Postgres on all versions, for docs/book/matrix.md"
	@echo "make torture             200 kills, 20 crashes, 200 blows to a cluster, 40 promotions, sequences; SEED=n for the same ones again"
	@echo "make sequences           20,000 random sequences of DDL and DML, a part of torture; SEED=n, SEQUENCES=n"
	@echo "make clustered           the stories of what is promised, in a cluster"
	@echo "make bench [QUICK=1]     the figures of docs/book/benchmarks; CHAPTERS=\"read drain\" for some of them"
	@echo "make instructions        what the pure path of an event takes, held to benches/instructions; BLESS=1 to change that"
	@echo "make fuzz [SECONDS=60]   each target of fuzz/ for so long; TARGETS=\"pgoutput\" for some of them"
	@echo "make docs                the book as a site, in target/book/html"
	@echo "make clients             clients of the API, in clients, generated anew from its OpenAPI document"
	@echo "make lint                format, clippy, documentation; the book and licences where mdBook and cargo-deny are"
	@echo "make build               the release binary, in target/release/rowhook"
	@echo "make dist                all that is published, in target/packages; TARGETS=\"x86_64-unknown-linux-musl\" for some"
	@echo "make dist-reproducible   that twice, in two folders, to show that the bytes are the same"
	@echo "make dist-check          installs, upgrades and purges it in another root, runs the image and the demos; as root"
	@echo "make chart               looks at the Helm chart, and renders it into target/chart"

# Unoptimized, because it builds in a third of the time and nothing in it takes long; without what it does not use, and
# without what a debugger would ask for.
demo: postgres
	@echo "building rowhook; where nothing is built yet, this takes some minutes"
	cargo run --profile demo --no-default-features --locked -- demo $(if $(SECONDS),--seconds $(SECONDS))

# Stories wait for servers and clocks more than they compute, so more of them run at once than there are processors.
test: versions django apps peers browser schemathesis generators
	RUST_TEST_THREADS=$${RUST_TEST_THREADS:-3} cargo test --locked --no-fail-fast
	scripts/in-cluster cargo test --locked --test stories -- delivering:: owner_moments:: settings:: --test-threads 3
	scripts/test-versions few

matrix: versions django apps peers browser schemathesis generators
	scripts/test-versions all docs/book/matrix.md

# Optimized, as it is in use: a million rows take a debug build too long.
torture: postgres peers sequences
	TORTURE_KILLS=220 TORTURE_CRASHES=20 TORTURE_EVENTS=200 $(if $(SEED),TORTURE_SEED=$(SEED)) cargo test --release --locked --test torture -- --nocapture
	PROMOTIONS=40 cargo test --release --locked --test stories -- failover:: --nocapture --test-threads 1
	SHADOW_SAVES=3400 cargo test --release --locked --test stories -- a_shadow_finds_no_difference --nocapture
	MEMORY_ROWS=1000000 MEMORY_LARGE_ROWS=20 cargo test --release --locked --test stories -- memory:: --nocapture --test-threads 1

# What one rowhook promises, put to the test in a cluster. Left out is what is seen in another way there: what the log
# says when the slot is lost, when a sender deletes what is too old, and how a crowd and its neighbour share a sender.
PROMISES = absent_owners:: batching:: by_hand:: certificates:: compressing:: contents:: crowds:: delivering:: dialects:: \
	disabling:: endpoints:: handed_over:: hook_ids:: hook_past:: hooks:: large_values:: messages:: oauth2:: owner_moments:: \
	owners:: partitions:: permission:: rates:: redacting:: renamed_at_once:: restarts:: rows:: settings:: shaping:: signing:: truncate::
clustered: versions peers
	scripts/in-cluster cargo test --locked --test stories -- $(PROMISES) --test-threads 3 \
		--skip one_that_lost_the_slot --skip what_is_older_than_the_retention --skip others_pass_between

# A copy is measured, because building the benchmarks builds a binary of their own in its place.
BENCHED = target/benchmarks/rowhook
bench: postgres
	cargo build --release --locked
	mkdir -p $(dir $(BENCHED)) && cp target/release/rowhook $(BENCHED)
	ROWHOOK=$(abspath $(BENCHED)) COMPARE=$(abspath target/compare) cargo bench --locked --bench figures -- $(CHAPTERS) \
		$(if $(QUICK),--quick --into $(abspath target/benchmarks),$(if $(CHAPTERS),,--into $(abspath docs/book/benchmarks)))

# Counted and not timed, so that it can be a check.
instructions:
	command -v valgrind >/dev/null || scripts/apt-install valgrind
	cargo run --release --locked --package instructions $(if $(BLESS),-- --bless)

# Optimized too. `test` has a thousand of them, which are always the same.
sequences: postgres
	SEQUENCES=$(or $(SEQUENCES),20000) SEQUENCES_SEED=$(or $(SEED),$$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')) \
		cargo test --release --locked --test sequences -- --nocapture

# What a run finds is kept in fuzz/corpus, and what fails in fuzz/artifacts. There is no unsafe code for a sanitizer to
# watch, and without one several times as many inputs are tried.
TARGETS = $(basename $(notdir $(wildcard fuzz/targets/*.rs)))
fuzz:
	@cargo +nightly fuzz --version || { \
		echo "This needs rustup toolchain install nightly, and cargo install --locked cargo-fuzz"; exit 1; }
	@for target in $(TARGETS); do \
		mkdir -p fuzz/corpus/$$target && cargo +nightly fuzz run --sanitizer none $$target fuzz/corpus/$$target fuzz/seeds/$$target -- \
			-max_total_time=$(or $(SECONDS),60) -print_final_stats=1 || exit 1; \
	done

# The tests put the book together, with what is made from the code, and look at its links. mdBook makes a site of that.
docs: mdbook
	cargo test --locked --quiet --test book
	target/mdbook/bin/mdbook build target/book
	@echo "the book is in target/book/html/index.html"

# To be run when the API changes. A story fails when what is in clients is not what this makes.
clients: generators
	cargo run --locked --quiet -- schema --api >target/openapi.json
	cp target/openapi.json clients/openapi.json
	scripts/generate-clients

lint:
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- --deny warnings
	RUSTDOCFLAGS="--deny warnings" cargo doc --locked --workspace --no-deps --document-private-items
	@if cargo deny --version >/dev/null 2>&1; then \
		cargo deny --locked check bans licenses sources; \
	else \
		echo "cargo-deny is not installed, so deny.toml was not checked: cargo install --locked cargo-deny"; \
	fi
	@if [ -x target/mdbook/bin/mdbook ]; then \
		$(MAKE) --no-print-directory docs; \
	else \
		echo "mdBook is not installed, so the book was not rendered (the tests check its links): make docs"; \
	fi

build:
	cargo build --release --locked

# docs/book/releasing.md says what these need, and what they install.
DIST_TARGETS = $(filter %-linux-musl,$(TARGETS))
dist:
	scripts/dist $(DIST_TARGETS)

dist-reproducible:
	scripts/dist-reproducible $(DIST_TARGETS)

dist-check:
	scripts/dist-check

chart:
	scripts/check-chart target/chart

# One test holds rowhook against a real Django.
django:
	@scripts/install-django target/django

# Others run real applications of Django: a shop, a site and a help desk.
apps:
	@scripts/install-apps target/apps

# Renders the book.
mdbook:
	@scripts/install-mdbook

# The demo and the tests start servers of their own; they need the binaries, not a running server.
postgres:
	@scripts/install-postgres --one

# The tests need those of all versions.
versions:
	@scripts/install-postgres

# Whom the tests speak with: NATS, the official libraries of Standard Webhooks, AsyncAPI and OpenAPI, and a provider of
# OpenID Connect.
peers:
	@scripts/install-peers

# The page is tested in a headless Chromium.
browser:
	@scripts/install-browser

# The API is tested against its own document.
schemathesis:
	@scripts/install-schemathesis

# The clients are generated with these, and tried with a Go and a compiler for TypeScript; so is the sample app for Zapier.
generators:
	@scripts/install-generators
