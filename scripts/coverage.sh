#!/usr/bin/env bash
# Rewrites docs/coverage.md from what the built program says of itself.
# usage: coverage.sh GUREUM
set -euo pipefail
gureum=$1
home=$(mktemp -d)
trap '"$gureum" down --data-dir "$home/data" >/dev/null; rm -rf "$home"' EXIT
"$gureum" up --data-dir "$home/data" --listen 127.0.0.1:0 --web-ports off >/dev/null 2>&1 &
until "$gureum" env --data-dir "$home/data" >/dev/null 2>&1; do sleep 0.1; done
"$gureum" coverage --json --data-dir "$home/data" | cargo xtask coverage
