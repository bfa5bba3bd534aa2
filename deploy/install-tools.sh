#!/bin/sh
# Installs the programs that the tests talk to (Debian and its kin), where that needs no question.
set -eu
PATH="$PATH:/usr/sbin"

missing=""
add() {
    command -v "$1" >/dev/null 2>&1 || missing="$missing $2"
}
add mosquitto mosquitto
add mosquitto_passwd mosquitto
add mosquitto_pub mosquitto-clients
add promtool prometheus
add amtool prometheus-alertmanager
add influxd influxdb
add openssl openssl
add faketime faketime
add systemd-analyze systemd
add shellcheck shellcheck
add mmdebstrap mmdebstrap
add chromium chromium

[ -n "$missing" ] || exit 0
if ! command -v apt-get >/dev/null 2>&1; then
    echo "not installed:$missing; the tests that need them will be skipped" >&2
    exit 0
fi
as_root=""
if [ "$(id -u)" -ne 0 ]; then
    if ! sudo -n true 2>/dev/null; then
        echo "not installed:$missing; the tests that need them will be skipped" >&2
        echo "to install them: sudo apt-get install --no-install-recommends$missing" >&2
        exit 0
    fi
    as_root="sudo"
fi
# RUNLEVEL=1 keeps the packages from starting their services: the tests start their own, on loopback.
$as_root env RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive sh -c \
    "apt-get update -qq && apt-get install -y -qq --no-install-recommends$missing >/dev/null"
