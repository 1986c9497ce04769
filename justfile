# The only door. `just` alone lists the recipes.

target := env("CARGO_TARGET_DIR", justfile_directory() / "target")
connectors := `ls connectors | tr '\n' ' '`
# The page of `serve` needs Node.js to be built: the demo goes without.
page := "--features sluice-cli/console"

_default:
    @just --list --unsorted

# Everything on simulated networks, in under a minute once built.
demo: connectors
    cargo build --workspace --all-targets
    {{target}}/debug/sluice demo

# All tests, with the servers and tools that they need, and a minute of fuzzing.
test: check connectors guests tools _everything && fuzz
    # Nextest runs tests of several binaries at once, as `.config/nextest.toml` has it. `fuzz` runs what isn't run here.
    SLUICE_CONNECTORS={{target}}/connectors SLUICE_GUESTS={{target}}/guests \
        {{target}}/checks/bin/cargo-nextest nextest run --workspace {{page}} -E 'not package(sluice-fuzz)'
    cargo test --workspace {{page}} --doc

# Format, clippy, documentation, dependencies and spelling: what is wrong without running anything.
check: _checkers console
    cargo fmt --all --check
    {{target}}/checks/bin/typos
    {{target}}/machete/bin/cargo-machete
    # Not advisories, and duplicates are warnings: `just advisories`, `just duplicates`.
    {{target}}/checks/bin/cargo-deny --log-level error check --hide-inclusion-graph bans licenses sources
    # Clippy and rustdoc on the dependencies that the tests use; lint.sh has the reason. Only finished outputs go to
    # target/lint: they are empty, and would replace programs in target/debug.
    CARGO_BUILD_BUILD_DIR={{target}} CARGO_TARGET_DIR={{target}}/lint \
        RUSTC_WORKSPACE_WRAPPER={{justfile_directory()}}/tests/tools/lint.sh \
        cargo build --workspace {{page}} --all-targets --keep-going

# Known vulnerabilities among the dependencies. Needs RustSec's database, which is on GitHub, in no package registry.
advisories: _checkers
    {{target}}/checks/bin/cargo-deny check advisories

# Dependencies that are built in several versions, and who brings them.
duplicates:
    cargo tree --workspace --duplicates --edges normal,build

# For use: the binary in target/release/sluice, its symbols in sluice.debug beside it, the connectors in target/connectors.
build: connectors console
    #!/usr/bin/env bash
    set -euo pipefail
    # The bench is named for its features, so that it takes the same crates.
    cargo build --release -p sluice-cli -p sluice-bench {{page}} --bin sluice
    cd "{{target}}/release"
    # Backtraces and profilers find the symbols through the link. Where there is no objcopy, the symbols stay inside.
    if command -v objcopy >/dev/null; then
        objcopy --only-keep-debug --compress-debug-sections=zlib sluice sluice.debug
        # A new file: the old one is also cargo's own.
        objcopy --strip-all --add-gnu-debuglink=sluice.debug sluice sluice.part
        mv sluice.part sluice
    fi
    ls -lh sluice*

# Every connector as a component that imports nothing but its body.
connectors: _wasm
    #!/usr/bin/env bash
    set -euo pipefail
    mkdir -p "{{target}}/connectors"
    packages=()
    for name in {{connectors}}; do packages+=(-p "connector-$name"); done
    cargo build --profile guest --target wasm32-unknown-unknown --target-dir "{{target}}" "${packages[@]}"
    for name in {{connectors}}; do
        core="{{target}}/wasm32-unknown-unknown/guest/connector_${name//-/_}.wasm"
        out="{{target}}/connectors/$name.wasm"
        # A file that didn't change keeps its time, and the service its component.
        if [ ! -e "$out" ] || [ "$core" -nt "$out" ]; then
            wasm-tools component new "$core" -o "$out.part" && mv "$out.part" "$out"
        fi
    done

# The page of `sluice serve`: host/server/console into its dist/, which the feature `console` embeds. Node.js builds it.
console:
    bash host/server/console/build.sh

# The pictures in docs/pictures: what the tests of the console photograph.
pictures: connectors tools _everything
    SLUICE_CONNECTORS={{target}}/connectors cargo test --workspace {{page}} --test console -- --exact every_view_does_its_work
    mkdir -p docs/pictures
    cp {{target}}/console/overview-1280-light.png docs/pictures/overview.png
    cp {{target}}/console/completeness-1280-dark.png docs/pictures/completeness.png

# Guests that tests need: one made by another language's tool.
guests:
    CARGO_TARGET_DIR={{target}} bash tests/guests/javascript/build.sh

# Servers and tools that tests need: S3 (moto), DuckDB, Polars, deltalake, Sail, schemathesis, componentize-py and Go from PyPI;
# PostgreSQL and Chromium if there is none.
tools:
    CARGO_TARGET_DIR={{target}} bash tests/tools/install.sh tests

# Speed, each against a yardstick; half an hour, 15 GB of disk. `--scale 100` is for trying, `--only detection` for one part.
bench *options: build tools
    cargo build --release -p sluice-cli -p sluice-bench {{page}} --bin sluice-bench
    {{target}}/release/sluice-bench --connectors {{target}}/connectors --sluice {{target}}/release/sluice {{options}}

# A thousand random histories of the ledger against a naive model; `just test` tries 60.
histories cases="1000":
    # With the features of all the workspace, so that nothing is built twice.
    PROPTEST_CASES={{cases}} cargo test --workspace --lib a_naive_model

# Three hosts of which one is killed every four seconds, whose stores are cut, and which are stopped past their leases, for so
# long; `just test` has each trouble once.
chaos seconds="120": connectors tools _everything
    SLUICE_CHAOS_SECS={{seconds}} SLUICE_CONNECTORS={{target}}/connectors cargo test --workspace {{page}} --test chaos

# Traces by OTLP, which only a binary with the feature `otlp` sends.
test-otlp: connectors
    cargo build --workspace {{page}},sluice-cli/otlp --bins
    SLUICE_CONNECTORS={{target}}/connectors cargo test --workspace {{page}},sluice-cli/otlp --test telemetry -- --ignored

# Bodies and answers nobody would think of, for a minute in all; one that breaks something is put into the corpus.
fuzz seconds="60":
    #!/usr/bin/env bash
    set -euo pipefail
    # With the features of all the workspace, so that only what is fuzzed is built again, with counters in it.
    SLUICE_FUZZ_SECS={{seconds}} RUSTC_WORKSPACE_WRAPPER={{justfile_directory()}}/tests/fuzz/rustc.sh \
        cargo test --workspace --test fuzz

# Puts what earlier `just fuzz` found, where it is short and new, into the corpus.
fuzz-keep: (fuzz "0")

# Takes what the tests see now as what they shall see.
bless: connectors guests tools _everything
    SLUICE_BLESS=1 INSTA_UPDATE=always SLUICE_CONNECTORS={{target}}/connectors SLUICE_GUESTS={{target}}/guests cargo test --workspace {{page}}

# All tests share one build with one set of features: another set of dependencies would build 300 crates again.
_everything: console
    cargo build --workspace {{page}} --all-targets

# The programs and components that `check` runs.
_checkers:
    rustup component list --installed | grep -q rustfmt || rustup component add rustfmt
    rustup component list --installed | grep -q clippy || rustup component add clippy
    CARGO_TARGET_DIR={{target}} bash tests/tools/install.sh checks

_wasm:
    #!/usr/bin/env bash
    set -euo pipefail
    rustup target list --installed | grep -qx wasm32-unknown-unknown || rustup target add wasm32-unknown-unknown
    command -v wasm-tools >/dev/null || cargo install wasm-tools --locked --no-default-features --features component
