#!/usr/bin/env bash
# Makes room for a build. Cargo never deletes what earlier versions of the code left in a target directory: after many runs a
# cache that is kept fills the disk. Without room for a cold build all that was built goes; installed tools stay.
set -euo pipefail
cache="$(dirname "$CARGO_TARGET_DIR")"
mkdir -p "$CARGO_TARGET_DIR"

# What a cold build and its tests write, in GB.
needed=30

free() { df --output=avail -BG "$CARGO_TARGET_DIR" | tail -1 | tr -dc 0-9; }

if [ "$(free)" -lt "$needed" ]; then
    echo "$(free) GB are free, and a cold build takes up to $needed GB. What takes the disk, in MB:"
    du -sm "$HOME"/.[!.]* "$HOME"/.cache/* "$cache"/* "$CARGO_TARGET_DIR"/* /tmp /var 2>/dev/null | sort -rn | head -30 || true
    for built in debug release lint guests connectors wasm32-unknown-unknown fuzz console; do
        rm -rf "${CARGO_TARGET_DIR:?}/$built"
    done
    # Target directories beside this one, which earlier sessions left.
    find "$cache" -mindepth 1 -maxdepth 1 ! -name "$(basename "$CARGO_TARGET_DIR")" -exec rm -rf {} +
    echo "$(free) GB are free now"
fi
