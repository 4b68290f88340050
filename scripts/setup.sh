#!/usr/bin/env bash
# Installs what a fresh Debian or Ubuntu lacks for building and testing Gureum, and says why.
set -euo pipefail
# Where packet filters and addresses are managed; not on everybody's path.
PATH=$PATH:/usr/sbin:/sbin

missing=()
need() { # command, package, reason
    command -v "$1" >/dev/null 2>&1 && return
    echo "setup: $2 is needed $3"
    missing+=("$2")
}

need cc gcc "to link the program (and to compile one cryptography library)"
need nft nftables "for EC2: security groups and address translation are packet filters"
need slirp4netns slirp4netns "for EC2 without root: instances reach the internet by it"
need ip iproute2 "for the tests of the network plane"
need python3 python3 "for the tests, which drive the cloud with the stock AWS clients"
python3 -c 'import ensurepip, venv' 2>/dev/null || {
    echo "setup: python3-venv is needed to keep the tests' Python packages apart from yours"
    missing+=(python3-venv)
}

if [ ${#missing[@]} -gt 0 ]; then
    sudo=""
    [ "$(id -u)" = 0 ] || sudo="sudo"
    $sudo apt-get update -qq
    $sudo apt-get install -y -qq "${missing[@]}"
fi

command -v cargo >/dev/null 2>&1 || {
    echo "setup: a Rust toolchain is needed; see https://rustup.rs" >&2
    exit 1
}
