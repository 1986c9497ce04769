#!/usr/bin/env bash
# Cargo's RUSTC_WORKSPACE_WRAPPER for `just fuzz`: the decoders, the engine and what masks secrets count which of their
# branches are taken (LLVM's coverage for sanitizers, which stable rustc has too), and are optimised, so that their time is
# nearly that of the product. Everything else is compiled as ever, so that nothing else is built again.
set -euo pipefail
case " $* " in
*" --crate-name sluice_engine "* | *" --crate-name sluice_decode "* | *" --crate-name sluice_fetch "*)
    exec "$@" -Copt-level=2 -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=3 \
        -Cllvm-args=-sanitizer-coverage-inline-8bit-counters
    ;;
esac
exec "$@"
