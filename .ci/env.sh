#!/usr/bin/env bash
# Make .venv what uv.lock says, with the uv on PATH, or else one of our own in .make/uv.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
own=.make/uv/bin/uv

die() {
    printf '%s\n' "env: $1" "${@:2}" >&2
    exit 1
}

install_uv() {
    printf '%s\n' "env: installing uv in .make/uv" >&2
    command -v python3 >/dev/null || debian python3 python3-venv
    if ! python3 -m venv .make/uv >/dev/null 2>&1; then
        # Debian's python3 comes without what venv needs; a pip that is there can do without it.
        if python3 -m pip --version >/dev/null 2>&1; then
            python3 -m pip install --quiet --target .make/uv uv
            return
        fi
        debian python3-venv
        rm -rf .make/uv
        python3 -m venv .make/uv
    fi
    .make/uv/bin/python -m pip install --quiet uv
}

debian() {
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        die "uv is missing, and there is nothing here to install it with. Install it:" \
            "  https://docs.astral.sh/uv/getting-started/installation/"
    fi
    apt-get update -qq >&2
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends ca-certificates "$@" >&2
}

uv=$(command -v uv || true)
if [ -z "$uv" ]; then
    [ -x "$own" ] || install_uv
    uv=$own
fi
# Compiled now: without bytecode every start of czrun would compile a thousand modules again.
"$uv" sync --locked --quiet --compile-bytecode
"$uv" run --locked python -m compileall -q runner/czrun
