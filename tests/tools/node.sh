# Sourced by scripts that need Node.js: installs it with apt-get where it is missing.

fail() {
    echo "error: $1" >&2
    echo "hint: $2" >&2
    exit 1
}

has_node() { command -v node >/dev/null && command -v npm >/dev/null; }

# What needs Node.js, for the message: need_node "the console".
need_node() {
    has_node && return
    local missing="$1 needs node (18 or newer) and npm, which aren't here"
    local hint="install Node.js, then run $0 again"
    command -v apt-get >/dev/null || fail "$missing" "$hint"
    local sudo=()
    [ "$(id -u)" -eq 0 ] || sudo=(sudo -n)
    echo "node or npm is missing: installing both with apt-get" >&2
    { "${sudo[@]}" apt-get update -qq &&
        DEBIAN_FRONTEND=noninteractive "${sudo[@]}" apt-get install -y -qq --no-install-recommends nodejs npm; } >&2 ||
        fail "$missing, and apt-get can't install them" "$hint"
    hash -r
    has_node || fail "$missing, even after apt-get" "$hint"
}
