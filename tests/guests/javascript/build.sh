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

source "$root/tests/tools/node.sh"

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
need_node "the JavaScript guest"
[ "$(node -p 'parseInt(process.versions.node)')" -ge 18 ] ||
    fail "node $(node --version) is too old for componentize-js" "install Node.js 18 or newer"
install_tools
# All of WASI is disabled: no clock, no randomness, no streams, no HTTP.
(cd "$here" && "$tools/node_modules/.bin/componentize-js" papercup.js --wit "$wit" --world-name network \
    --disable stdio random clocks http fetch-event --out "$out.part") >&2
check_world "$out.part"
mv "$out.part" "$out"
echo "$out" >&2
