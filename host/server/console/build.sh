#!/usr/bin/env bash
# Builds the console into dist/ beside this script, where the feature `console` of sluice-server embeds it.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")"

source ../../../tests/tools/node.sh

need_node "the console"
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
