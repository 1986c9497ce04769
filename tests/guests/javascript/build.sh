#!/usr/bin/env bash
# Builds the connector in this folder into $CARGO_TARGET_DIR/guests/papercup.wasm (default: target/ of this repository).
# Its tools come from npm, in the versions of package-lock.json, and live in the target directory as well.
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
root="$(cd "$here/../../.." && pwd)"
wit="$root/wit/v0.1"
mkdir -p "${CARGO_TARGET_DIR:-$root/target}/guests"
target="$(cd "${CARGO_TARGET_DIR:-$root/target}" && pwd)"
out="$target/guests/papercup.wasm"
tools="$target/guests/javascript-tools"

fail() {
    echo "error: $1" >&2
    echo "hint: $2" >&2
    exit 1
}

has_node() { command -v node >/dev/null && command -v npm >/dev/null; }

install_node() {
    local missing="the JavaScript guest needs node (18 or newer) and npm, which aren't here"
    command -v apt-get >/dev/null || fail "$missing" "install Node.js, then run $0 again"
    local sudo=()
    [ "$(id -u)" -eq 0 ] || sudo=(sudo -n)
    echo "node or npm is missing: installing both with apt-get" >&2
    { "${sudo[@]}" apt-get update -qq &&
        DEBIAN_FRONTEND=noninteractive "${sudo[@]}" apt-get install -y -qq --no-install-recommends nodejs npm; } >&2 ||
        fail "$missing, and apt-get can't install them" "install Node.js, then run $0 again"
    hash -r
    has_node || fail "$missing, even after apt-get" "install Node.js, then run $0 again"
}

install_tools() {
    # The copy that is made last says that the installation is whole.
    cmp -s "$here/package-lock.json" "$tools/installed.json" && return
    rm -rf "$tools"
    mkdir -p "$tools"
    cp "$here/package.json" "$here/package-lock.json" "$tools/"
    (cd "$tools" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2) ||
        fail "npm can't install componentize-js" "it needs a package registry: look at \`npm config get registry\`"
    cp "$here/package-lock.json" "$tools/installed.json"
}

# What the component may import: the contract's own interfaces, no WASI.
check_world() {
    local world others
    world="$("$tools/node_modules/.bin/jco" wit "$1")"
    others="$(grep -E '^ +import ' <<<"$world" | grep -v 'import sluice:connector/.*@0\.1\.0;' || true)"
    [ -z "$others" ] || fail "the component imports what a connector isn't given:$others" "disable that feature in $0"
    grep -qE '^ +export sluice:connector/connector@0\.1\.0;' <<<"$world" ||
        fail "the component doesn't export sluice:connector/connector@0.1.0" "export \`connector\` in papercup.js"
}

if [ -e "$out" ] && [ -z "$(find "$here" "$wit" -type f ! -name '*.md' -newer "$out" -print -quit)" ]; then
    exit 0
fi
has_node || install_node
[ "$(node -p 'parseInt(process.versions.node)')" -ge 18 ] ||
    fail "node $(node --version) is too old for componentize-js" "install Node.js 18 or newer"
install_tools
# All of WASI is disabled: no clock, no randomness, no streams, no HTTP.
(cd "$here" && "$tools/node_modules/.bin/componentize-js" papercup.js --wit "$wit" --world-name network \
    --disable stdio random clocks http fetch-event --out "$out.part") >&2
check_world "$out.part"
mv "$out.part" "$out"
echo "$out" >&2
