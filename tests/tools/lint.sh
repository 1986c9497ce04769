#!/usr/bin/env bash
# Cargo's RUSTC_WORKSPACE_WRAPPER for `just check`: runs clippy and rustdoc on our own crates, against the dependencies
# that `cargo build` compiled. `cargo clippy` and `cargo doc` would check all 600 dependencies again: ten minutes and
# several GB. Our crates emit metadata only, no machine code.
set -euo pipefail

script="$(realpath "$0")"
rustc="$1"
shift

name="" extra="" out="" emit="" test="" types=()
lint=() # arguments of clippy: those of rustc, without code
doc=()  # arguments of rustdoc: what it shares with rustc
while [ $# -gt 0 ]; do
    # Options that stand in two words are put together again below.
    case "$1" in
    --crate-name | --crate-type | --out-dir | --extern | --cfg | --check-cfg | --target | --cap-lints | -L | -C | -A | -W | -D | -F)
        key="$1" value="$2"
        shift 2
        ;;
    *)
        key="$1" value=""
        shift
        ;;
    esac
    case "$key" in
    --crate-name) name="$value" ;;
    --crate-type) types+=("$value") ;;
    --out-dir) out="$value" ;;
    --emit=*) emit="${key#--emit=}" && continue ;;
    --test) test=yes ;;
    -C) case "$value" in extra-filename=*) extra="${value#extra-filename=}" ;; esac ;;
    # Our own libraries are metadata here.
    --extern)
        case "$value" in *=*/libsluice_*.rlib | *=*/libconnector_*.rlib) value="${value%.rlib}.rmeta" ;; esac
        ;;
    esac
    if [ -n "$value" ]; then lint+=("$key" "$value"); else lint+=("$key"); fi
    case "$key" in
    -C | --out-dir | --test) ;;
    *) if [ -n "$value" ]; then doc+=("$key" "$value"); else doc+=("$key"); fi ;;
    esac
done

# Cargo asks what the compiler is and can; build scripts have to run.
case "$emit,$name" in
,* | *,build_script_*)
    exec "$rustc" "${lint[@]}" ${emit:+"--emit=$emit"}
    ;;
esac

"${rustc%rustc}clippy-driver" "$rustc" "${lint[@]}" --emit=dep-info,metadata -D warnings
# Cargo runs this again for every unit when this script changed.
sed -i "1s|\$| $script|" "$out/$name$extra.d"

if [ -z "$test" ]; then
    docs="$(mktemp -d)"
    trap 'rm -rf "$docs"' EXIT
    "${rustc%rustc}rustdoc" "${doc[@]}" -D warnings --out-dir "$docs"
fi

# The compiler loads macros: they need machine code.
case " ${types[*]-} " in *" proc-macro "*) [ -n "$test" ] || exec "$rustc" "${lint[@]}" "--emit=$emit" ;; esac

# Cargo runs a unit again whose outputs are missing, so they are there, as empty files. Connectors have no hash in their
# names: their outputs are those of `cargo build`, and stay as they are.
[ -n "$extra" ] || exit 0
for type in "${types[@]:-bin}"; do
    case "$test$type" in
    lib | rlib) : >"$out/lib$name$extra.rlib" ;;
    *) : >"$out/$name$extra" ;;
    esac
done
