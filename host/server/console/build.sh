#!/usr/bin/env bash
# Builds the console into dist/ beside this script, where the feature `console` of sluice-server embeds it.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")"

fail() {
    echo "error: $1" >&2
    echo "hint: $2" >&2
    exit 1
}

has_node() { command -v node >/dev/null && command -v npm >/dev/null; }

install_node() {
    local missing="the console needs node (18 or newer) and npm, which aren't here"
    command -v apt-get >/dev/null || fail "$missing" "install Node.js, then run $0 again"
    local sudo=()
    [ "$(id -u)" -eq 0 ] || sudo=(sudo -n)
    echo "node or npm is missing: installing both with apt-get" >&2
    { "${sudo[@]}" apt-get update -qq &&
        DEBIAN_FRONTEND=noninteractive "${sudo[@]}" apt-get install -y -qq --no-install-recommends nodejs npm; } >&2 ||
        fail "$missing, and apt-get can't install them" "install Node.js, then run $0 again"
    hash -r
}

has_node || install_node
# The copy that is made last shows that the installation is complete.
if ! cmp -s package-lock.json node_modules/installed.json; then
    npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2 ||
        fail "npm can't install what the console is built with" "it needs a package registry: see \`npm config get registry\`"
    cp package-lock.json node_modules/installed.json
fi
if [ -e dist/index.html ] && [ -z "$(find . -path ./node_modules -prune -o -path ./dist -prune -o -type f -newer dist/index.html -print -quit)" ]; then
    exit 0
fi
npm run --silent build >&2
