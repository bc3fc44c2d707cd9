#!/usr/bin/env bash
# Choose, and where needed make, the image that every model image is built on.
#
#   model_images/_base/ensure-base.sh
#
# The only line on stdout is the image's name, which also goes to .make/base-image; progress goes to stderr.
#
#   BASE_IMAGE      an image of your own with python3 and its venv module: taken as it is
#   CA_BUNDLE       certificates (PEM) that a TLS-intercepting proxy needs; otherwise SSL_CERT_FILE, PIP_CERT
#                   or REQUESTS_CA_BUNDLE says it. They enter this local base, never a model's Dockerfile.
#   DEBIAN_MIRROR   where debootstrap downloads, when no registry can be reached
set -euo pipefail

readonly UPSTREAM=python:3.12-slim
readonly LOCAL=czrun-base:local
readonly DEBIAN=czrun-base:debian
readonly RECIPE=1 # part of the key: raise it when the steps below change
readonly REGISTRY_ANSWERS_S=20
readonly PULL_S=900

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
work=""
one_file_system=$([ "$(uname -s)" != Linux ] || echo --one-file-system) # a failed debootstrap leaves /proc mounted
trap '[ -z "$work" ] || rm -rf $one_file_system -- "$work"' EXIT

say() { printf '%s\n' "base-image: $*" >&2; }
die() {
    printf '%s\n' "base-image: $1" "${@:2}" >&2
    exit 1
}

chosen() {
    mkdir -p "$root/.make"
    printf '%s\n' "$1" >"$root/.make/base-image"
    printf '%s\n' "$1"
    exit 0
}

have() { docker image inspect "$1" >/dev/null 2>&1; }

sha256() { if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi | cut -d' ' -f1; }

ca_bundle() {
    local name
    for name in CA_BUNDLE SSL_CERT_FILE PIP_CERT REQUESTS_CA_BUNDLE; do
        [ -n "${!name:-}" ] || continue
        if [ -r "${!name}" ] && [ -f "${!name}" ]; then
            printf '%s\n' "${!name}"
            return
        fi
        [ "$name" != CA_BUNDLE ] || die "CA_BUNDLE=${!name} is not a readable file."
        say "$name names no readable file; ignored."
    done
}

# A registry that doesn't answer costs REGISTRY_ANSWERS_S at most; one that does may take its time to deliver.
pull() {
    local log="$work/pull.log" waited=0 pid
    say "asking the registry for $1"
    docker pull "$1" >"$log" 2>&1 &
    pid=$!
    while kill -0 "$pid" 2>/dev/null; do
        if [ "$waited" -ge "$PULL_S" ] ||
            { [ "$waited" -ge "$REGISTRY_ANSWERS_S" ] && ! grep -qE 'Pulling from|Getting image source' "$log"; }; then
            kill "$pid" 2>/dev/null || true
        fi
        sleep 1
        waited=$((waited + 1))
    done
    if wait "$pid"; then return 0; fi
    say "no image from there: $(tail -n 1 "$log")"
    return 1
}

install_debootstrap() {
    command -v debootstrap >/dev/null && return
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        say "installing debootstrap"
        apt-get update -qq >&2
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
            debootstrap debian-archive-keyring >&2
        return
    fi
    die "No registry can be reached, and $UPSTREAM isn't on this machine." \
        "  Do one of these, then run make base-image again:" \
        "  - connect to the internet (or to your proxy), so that docker pull $UPSTREAM works;" \
        "  - copy the image over: docker save $UPSTREAM on another machine, docker load here;" \
        "  - name an image that you have, with python3 and its venv module: export BASE_IMAGE=NAME;" \
        "  - on Debian or Ubuntu, run make base-image as root once: it makes a base with debootstrap."
}

# Debian's own Python, for machines that reach a package mirror but no registry.
bootstrap() {
    install_debootstrap
    [ "$(id -u)" = 0 ] || die "debootstrap needs root: run sudo -E make base-image once, or set BASE_IMAGE."
    say "no registry: making a Debian base with debootstrap (about a minute)"
    local tree="$work/debian"
    debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates bookworm "$tree" \
        "${DEBIAN_MIRROR:-http://deb.debian.org/debian}" >"$work/debootstrap.log" 2>&1 ||
        die "debootstrap failed; its last lines:" "$(tail -n 15 "$work/debootstrap.log")"
    rm -rf --one-file-system -- "$tree"/var/cache/apt/* "$tree"/var/lib/apt/lists/* "$tree"/var/log/* \
        "$tree"/usr/share/{doc,man,info,lintian,locale} "$tree"/tmp/*
    tar --one-file-system -C "$tree" -c . |
        docker import --change 'CMD ["python3"]' --change "LABEL org.czrun.base-recipe=$RECIPE" - "$DEBIAN" >&2
}

# The site's certificates, if any, on top of $1; the label holds what it was made from.
finish() {
    local context="$work/context"
    mkdir -p "$context"
    {
        printf 'FROM %s\n' "$1"
        if [ -n "$bundle" ]; then
            cp -- "$bundle" "$context/site.crt"
            chmod 644 "$context/site.crt"
            cat <<'DOCKERFILE'
COPY site.crt /usr/local/share/ca-certificates/site.crt
RUN update-ca-certificates 2>/dev/null
ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt \
    PIP_CERT=/etc/ssl/certs/ca-certificates.crt \
    REQUESTS_CA_BUNDLE=/etc/ssl/certs/ca-certificates.crt
DOCKERFILE
        fi
    } >"$context/Dockerfile"
    say "making $LOCAL from $1${bundle:+ and the certificates in $bundle}"
    docker build --label "org.czrun.base-key=$key" --tag "$LOCAL" "$context" >"$work/build.log" 2>&1 ||
        die "$LOCAL couldn't be built; its last lines:" "$(tail -n 15 "$work/build.log")"
}

if [ -n "${BASE_IMAGE:-}" ]; then chosen "$BASE_IMAGE"; fi

docker info >/dev/null 2>&1 || die "no container engine answers. Run make engine."
work=$(mktemp -d)
bundle=$(ca_bundle)
key=$({
    printf '%s\n' "$RECIPE"
    [ -z "$bundle" ] || cat -- "$bundle"
} | sha256)

made=$(docker image inspect --format '{{index .Config.Labels "org.czrun.base-key"}}' "$LOCAL" 2>/dev/null || true)
if [ "$made" = "$key" ]; then chosen "$LOCAL"; fi

if have "$UPSTREAM" || pull "$UPSTREAM"; then
    [ -n "$bundle" ] || chosen "$UPSTREAM"
    finish "$UPSTREAM"
else
    recipe=$(docker image inspect --format '{{index .Config.Labels "org.czrun.base-recipe"}}' "$DEBIAN" 2>/dev/null || true)
    [ "$recipe" = "$RECIPE" ] || bootstrap
    finish "$DEBIAN"
fi
chosen "$LOCAL"
