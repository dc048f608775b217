#!/usr/bin/env bash
# Become a command once a server listens: after HOST PORT COMMAND...
#
# Compose keeps the order at `up` alone. When a machine starts, Docker starts all its containers at once, and MinIO
# without NATS has no notification targets until somebody restarts it.
set -euo pipefail
until (exec 3<>"/dev/tcp/$1/$2") 2>/dev/null; do sleep 0.2; done
exec "${@:3}"
