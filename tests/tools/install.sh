#!/usr/bin/env bash
# Installs what tests run beside the binary: Python tools (an S3 server, readers of Delta tables) into
# $CARGO_TARGET_DIR/python (default: target/ of this repository), and the programs of PostgreSQL and PgBouncer if there
# are none.
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
root="$(cd "$here/../.." && pwd)"
mkdir -p "${CARGO_TARGET_DIR:-$root/target}"
tools="$(cd "${CARGO_TARGET_DIR:-$root/target}" && pwd)/python"

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

install_python_tools() {
    # The copy that is made last says that the installation is whole.
    cmp -s "$here/requirements.txt" "$tools/installed.txt" && return
    rm -rf "$tools"
    python3 -m venv "$tools"
    "$tools/bin/pip" install --quiet --disable-pip-version-check --no-deps -r "$here/requirements.txt" >&2 ||
        fail "pip can't install the tests' tools" "it needs a package registry: look at \`pip config list\`"
    cp "$here/requirements.txt" "$tools/installed.txt"
}

has_python || install_packages python3 python3-venv
has_python || fail "the tests need python3, 3.10 or newer, with venv" "install it, then run $0 again"
has_postgres || install_packages postgresql
has_pgbouncer || install_packages pgbouncer
install_python_tools
