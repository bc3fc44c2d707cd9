#!/usr/bin/env bash
# Find a container engine that answers; as root on Debian or Ubuntu, install and start one where there is none.
# An engine that runs is never stopped or restarted.
set -euo pipefail

readonly WAIT_S=60

say() { printf '%s\n' "engine: $*" >&2; }
die() {
    printf '%s\n' "engine: $1" "${@:2}" >&2
    exit 1
}

# DOCKER_HOST, the current context and the default socket: the client follows all three itself.
answers() { command -v docker >/dev/null && docker info >/dev/null 2>&1; }

podman_socket() {
    local socket
    command -v curl >/dev/null || return 0
    for socket in "${XDG_RUNTIME_DIR:-/run/user/$(id -u)}/podman/podman.sock" /run/podman/podman.sock; do
        if [ -S "$socket" ] && curl -fsS --max-time 5 --unix-socket "$socket" http://d/_ping >/dev/null 2>&1; then
            printf '%s\n' "$socket"
            return
        fi
    done
}

may_install() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; }

install_docker() {
    say "installing docker.io with apt-get"
    local log
    log=$(mktemp)
    if ! { apt-get update && DEBIAN_FRONTEND=noninteractive \
        apt-get install -y --no-install-recommends docker.io iptables; } >"$log" 2>&1; then
        die "apt-get couldn't install docker.io; its last lines:" "$(tail -n 15 "$log")"
    fi
    rm -f -- "$log"
}

start_dockerd() {
    local log=/var/log/dockerd.log pid=""
    if [ -d /run/systemd/system ]; then
        say "starting docker"
        systemctl start docker || die "systemctl couldn't start docker." "  See: journalctl -u docker -n 50"
        log=/dev/null
    else
        [ -w /var/log ] || log=$(mktemp "${TMPDIR:-/tmp}/dockerd.XXXXXX")
        say "starting dockerd, log in $log"
        # A session of its own: it outlives this terminal, and a Ctrl-C here isn't its business.
        setsid dockerd >>"$log" 2>&1 </dev/null &
        pid=$!
    fi
    local waited=0
    until answers; do
        if [ "$waited" -ge "$WAIT_S" ] || { [ -n "$pid" ] && ! kill -0 "$pid" 2>/dev/null; }; then
            die "dockerd doesn't answer; the end of $log:" "$(tail -n 20 "$log")"
        fi
        sleep 1
        waited=$((waited + 1))
    done
}

advise() {
    local socket=/var/run/docker.sock
    case "$(uname -s)" in
    Darwin)
        if [ -d /Applications/Docker.app ]; then
            die "Docker Desktop isn't running. Start it, wait for the whale to settle, and run this again:" \
                "  open -a Docker"
        fi
        die "there is no container engine. Install Docker Desktop, and start it:" \
            "  brew install --cask docker && open -a Docker" "  (or from https://docs.docker.com/desktop/)"
        ;;
    Linux)
        if grep -qi microsoft /proc/version; then
            die "no container engine answers. On WSL, do one of these:" \
                "  - start Docker Desktop in Windows, and switch on Settings > Resources > WSL integration;" \
                "  - or install one in WSL: sudo apt-get install -y docker.io && sudo service docker start"
        fi
        if [ -S "$socket" ] && [ ! -w "$socket" ]; then
            die "an engine is there, but $(id -un) may not use it. Join its group, and log in again:" \
                "  sudo usermod -aG docker $(id -un)" "  newgrp docker    # for this shell, at once"
        fi
        if command -v dockerd >/dev/null; then
            die "Docker is installed, but doesn't run. Start it:" \
                "  sudo systemctl start docker    # without systemd: sudo service docker start"
        fi
        die "there is no container engine. Install and start one:" \
            "  Debian, Ubuntu:  sudo apt-get install -y docker.io && sudo systemctl start docker" \
            "  Fedora:          sudo dnf install -y moby-engine && sudo systemctl start docker" \
            "  then:            sudo usermod -aG docker $(id -un)    # and log in again"
        ;;
    *) die "there is no container engine. See https://docs.docker.com/engine/install/" ;;
    esac
}

if answers; then
    say "$(docker info --format '{{.OperatingSystem}}, engine {{.ServerVersion}}' 2>/dev/null || echo 'an engine answers')"
    exit 0
fi
if [ -n "${DOCKER_HOST:-}" ]; then
    die "DOCKER_HOST is $DOCKER_HOST, and no engine answers there." "  Start that engine, or: unset DOCKER_HOST"
fi
podman=$(podman_socket)
if [ -n "$podman" ]; then
    command -v docker >/dev/null || die "Podman answers at $podman, but the docker command is missing." \
        "  Install the client (Debian: apt-get install docker-cli, or docker.io), and run this again."
    die "Podman answers at $podman. To use it, run this, then the same command again:" \
        "  export DOCKER_HOST=unix://$podman"
fi
may_install || advise
command -v dockerd >/dev/null || install_docker
answers || start_dockerd
say "ready"
