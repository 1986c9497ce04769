#!/usr/bin/env bash
# install.sh tests: what tests run beside the binary. Python tools (an S3 server, readers of Delta tables) go to
# $CARGO_TARGET_DIR/python, Sail to …/sail, schemathesis to …/schemathesis, what builds connectors in Python and Go to
# …/componentize-py and …/go (default: target/ of this repository), what drives a browser to browser/, drivers of PostgreSQL
# and Flight SQL to drivers/;
# PostgreSQL, PgBouncer, runc and Chromium are installed if they are missing.
# install.sh checks: the programs of `just check`, and the test runner, to $CARGO_TARGET_DIR/checks and machete.
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
root="$(cd "$here/../.." && pwd)"
mkdir -p "${CARGO_TARGET_DIR:-$root/target}"
target="$(cd "${CARGO_TARGET_DIR:-$root/target}" && pwd)"

fail() {
    echo "error: $1" >&2
    echo "hint: $2" >&2
    exit 1
}

install_packages() {
    command -v apt-get >/dev/null || fail "the tests need $*, which aren't here" "install them, then run $0 again"
    local sudo=()
    [ "$(id -u)" -eq 0 ] || sudo=(sudo -n)
    echo "installing $* with apt-get" >&2
    { "${sudo[@]}" apt-get update -qq &&
        DEBIAN_FRONTEND=noninteractive "${sudo[@]}" apt-get install -y -qq --no-install-recommends "$@"; } >&2 ||
        fail "apt-get can't install $*" "install them, then run $0 again"
    hash -r
}

has_python() { python3 -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; }

has_postgres() { compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || command -v initdb >/dev/null; }

has_pgbouncer() { command -v pgbouncer >/dev/null || [ -x /usr/sbin/pgbouncer ]; }

has_chromium() { command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null; }

# Packages in the versions of tests/$1/package-lock.json. Their scripts would download browsers.
# Usage: install_node <folder of tests/> <where to> <what for>
install_node() {
    local from="$root/tests/$1" to="$2"
    cmp -s "$from/package-lock.json" "$to/installed.json" && return
    command -v npm >/dev/null || install_packages nodejs npm
    rm -rf "$to"
    mkdir -p "$to"
    cp "$from/package.json" "$from/package-lock.json" "$from/.npmrc" "$to/"
    (cd "$to" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2) ||
        fail "npm can't install $3" "it needs a package registry: see \`npm config get registry\`"
    cp "$from/package-lock.json" "$to/installed.json"
}

# Usage: install_wheels <requirements> <environment>
install_wheels() {
    has_python || install_packages python3 python3-venv
    has_python || fail "this needs python3, 3.10 or newer, with venv" "install it, then run $0 again"
    # The copy of the requirements is made last: its presence shows that the installation is complete.
    cmp -s "$here/$1" "$2/installed.txt" && return
    rm -rf "$2"
    python3 -m venv "$2"
    "$2/bin/pip" install --quiet --disable-pip-version-check --no-deps -r "$here/$1" >&2 ||
        fail "pip can't install $1" "it needs a package registry: see \`pip config list\`"
    cp "$here/$1" "$2/installed.txt"
}

# No registry has cargo-machete built: one minute of compiling.
install_machete() {
    [ -x "$target/machete/bin/cargo-machete" ] && return
    env -u CARGO_TARGET_DIR cargo install --quiet --locked --root "$target/machete" cargo-machete@0.9.2 >&2
}

case "${1:-}" in
tests)
    has_postgres || install_packages postgresql
    command -v runc >/dev/null || install_packages runc
    has_pgbouncer || install_packages pgbouncer
    has_chromium || install_packages chromium
    install_node console "$target/browser" Playwright
    install_wheels requirements.txt "$target/python"
    install_wheels sail.txt "$target/sail"
    install_wheels api.txt "$target/schemathesis"
    install_wheels drivers.txt "$target/drivers"
    install_node drivers "$target/drivers/node" "node's pg"
    # What `sluice new --language python` and `--language go` write.
    install_wheels ../../host/kit/templates/python/requirements.txt "$target/componentize-py"
    install_wheels ../../host/kit/templates/go/requirements.txt "$target/go"
    ;;
checks)
    install_wheels checks.txt "$target/checks"
    install_machete
    ;;
*) fail "install.sh needs to know what to install" "\`$0 tests\` or \`$0 checks\`" ;;
esac
