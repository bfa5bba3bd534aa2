#!/bin/sh
# Installs geospace-monitor as a service on Debian 12 or newer, upgrades it, rolls it back, removes it.
# Run it as often as you like: what is there already stays. Docs: docs/install.md; why it is so: docs/decisions/0023.
set -eu
umask 022

PREFIX=/opt/geospace-monitor
CONFIG=/etc/geospace-monitor
STATE=/var/lib/geospace-monitor
UNITS=/usr/local/lib/systemd/system
SYSUSERS=/usr/local/lib/sysusers.d/geospace-monitor.conf
COMMAND=/usr/local/bin/geospace-monitor
BROKER=/etc/mosquitto/conf.d/geospace-monitor.conf
BROKER_UNIT=/etc/systemd/system/mosquitto.service.d/geospace-monitor.conf
NAME=geospace-monitor

here=$(cd "$(dirname "$0")/.." && pwd)
python=python3
wheels=""
broker=no
changed=no

usage() {
    cat <<END
usage: systemd/install.sh [--wheels DIR] [--mosquitto] [--python PYTHON]    install or upgrade
       systemd/install.sh --fetch DIR [--python PYTHON]   fetch what --wheels needs, on a machine with a network
       systemd/install.sh --roll-back                     go back to the release before
       systemd/install.sh --remove [--purge]              remove it; --purge: configuration, data and secrets as well

  --wheels DIR     take libraries from DIR and ask no index
  --mosquitto      also install deploy/mosquitto.conf as $BROKER, with more open files for it
  --python PYTHON  the Python to build with, 3.11 or newer (default: python3)
pip's own variables work here: PIP_INDEX_URL for a mirror, PIP_CERT for its certificate.
END
}

say() { echo "install.sh: $*"; }
fail() {
    echo "install.sh: $*" >&2
    exit 1
}

# -- checks -------------------------------------------------------------------------------------------------

need_root() {
    [ "$(id -u)" -eq 0 ] || fail "only root may do this: sudo $0"
    command -v systemctl >/dev/null || fail "no systemctl here: this installs a service of systemd"
}

need_python() {
    command -v "$python" >/dev/null || fail "no $python here: apt-get install python3-venv (or --python PYTHON)"
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        fail "$python is older than Python 3.11: name a newer one with --python"
    "$python" -c 'import ensurepip, venv' 2>/dev/null ||
        fail "$python cannot make virtual environments: apt-get install python3-venv"
}

# -- a release ----------------------------------------------------------------------------------------------

# Which release these sources make, with these libraries and this Python: the same again has the same name.
release_name() {
    version=$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' "$here/monitor/__init__.py")
    digest=$(cd "$here" && {
        "$python" -VV
        find pyproject.toml setup.cfg README.md LICENSE config.yaml deploy/requirements.lock deploy/build.lock \
            monitor plugins -type f ! -path '*/__pycache__/*' -exec sha256sum {} + | LC_ALL=C sort
    } | sha256sum | cut -c 1-12)
    echo "$version-$digest"
}

# install_locked ENVIRONMENT LOCK: only what the lock names, each file with its hash.
install_locked() {
    set -- "$1/bin/pip" "$2" --quiet --disable-pip-version-check
    if [ -n "$wheels" ]; then
        set -- "$@" --no-index --find-links "$wheels"
    fi
    program=$1 lock=$2
    shift 2
    "$program" install "$@" --upgrade --require-hashes --only-binary :all: -r "$lock" && return
    [ -z "$wheels" ] || fail "$wheels has not all of $lock for $("$python" -V): fill it with $0 --fetch DIR, by this Python"
    fail "the libraries were not installed; without a network use --wheels DIR, with a mirror PIP_INDEX_URL"
}

# The wheel of the project is built in a copy: the sources are left as they are.
build() {
    say "building $release (a minute or two)"
    "$python" -m venv "$1"
    install_locked "$1" "$here/deploy/build.lock"
    install_locked "$1" "$here/deploy/requirements.lock"
    mkdir "$1/source"
    (cd "$here" && cp -r pyproject.toml setup.cfg README.md LICENSE monitor plugins "$1/source")
    pip="$1/bin/pip --quiet --disable-pip-version-check"
    $pip wheel --no-deps --no-index --no-build-isolation --wheel-dir "$1/wheel" "$1/source"
    $pip install --no-deps --no-index "$1"/wheel/*.whl
    $pip uninstall --yes setuptools
    rm -r "$1/source" "$1/wheel"
    $pip check
    cp "$here/config.yaml" "$1/config.yaml"
    "$1/bin/$NAME" --version >/dev/null
}

# A release has its place for ever: an environment knows its own path. One that was not finished has no mark.
make_release() {
    release=$(release_name)
    new=$PREFIX/releases/$release
    if [ -e "$new/complete" ]; then
        return
    fi
    mkdir -p "$PREFIX/releases"
    rm -rf "$new"
    trap 'rm -rf "$new"; rmdir "$PREFIX/releases" "$PREFIX" 2>/dev/null || true' EXIT
    trap 'exit 1' HUP INT TERM
    build "$new"
    : >"$new/complete"
    trap - EXIT HUP INT TERM
}

# Every configuration in force must be good for the release that is to run it.
check_configurations() {
    for file in "$CONFIG"/*.yaml; do
        [ -e "$file" ] || continue
        if ! "$1/bin/$NAME" check-config -c "$file" >/dev/null; then
            fail "$file is not good for $(basename "$1"): mend it and run this again; nothing has been switched"
        fi
    done
}

# The link is replaced in one step: there is no moment without a whole release.
switch_to() {
    was=$(readlink "$PREFIX/venv" 2>/dev/null || true)
    [ "$was" != "$1" ] || return 0
    if [ -n "$was" ]; then
        ln -sfn "$was" "$PREFIX/previous"
    fi
    ln -sfn "$1" "$PREFIX/venv.new"
    mv -T "$PREFIX/venv.new" "$PREFIX/venv"
    changed=yes
    say "$(basename "$1") is in force${was:+; $(basename "$was") is kept for --roll-back}"
}

drop_old_releases() {
    for old in "$PREFIX"/releases/*; do
        [ "$old" = "$(readlink "$PREFIX/venv")" ] || [ "$old" = "$(readlink "$PREFIX/previous" || true)" ] || rm -rf "$old"
    done
}

# -- files beside it ----------------------------------------------------------------------------------------

# put FILE PLACE: nothing is written where the place holds the same.
put() {
    cmp -s "$1" "$2" && return
    mkdir -p "$(dirname "$2")"
    cp "$1" "$2.new"
    chmod 0644 "$2.new"
    mv "$2.new" "$2"
    changed=yes
    say "wrote $2"
}

# The administrator's configuration is never written over; what is new in the shipped one is shown.
put_config() {
    mkdir -p "$CONFIG"
    if [ ! -e "$CONFIG/config.yaml" ]; then
        put "$here/config.yaml" "$CONFIG/config.yaml"
    elif [ -e "$PREFIX/venv/config.yaml" ] && ! cmp -s "$PREFIX/venv/config.yaml" "$new/config.yaml"; then
        say "new in the shipped configuration (yours is left as it is):"
        diff -u "$PREFIX/venv/config.yaml" "$new/config.yaml" | tail -n +3 || true
    fi
}

put_units() {
    put "$here/systemd/$NAME.sysusers" "$SYSUSERS"
    systemd-sysusers "$SYSUSERS"
    for unit in "$NAME.service" "$NAME@.service"; do
        put "$here/systemd/$unit" "$UNITS/$unit"
    done
    mkdir -p "$(dirname "$COMMAND")"
    if [ "$(readlink "$COMMAND" || true)" != "$PREFIX/venv/bin/$NAME" ]; then
        [ ! -e "$COMMAND" ] || fail "$COMMAND is there and not ours: move it away"
        ln -sfn "$PREFIX/venv/bin/$NAME" "$COMMAND"
    fi
}

broker_source() {
    case $1 in
    "$BROKER") echo "$here/deploy/mosquitto.conf" ;;
    "$BROKER_UNIT") echo "$here/deploy/mosquitto.service.d/geospace-monitor.conf" ;;
    esac
}

# A Mosquitto that does not take the files gets back what it had.
put_broker() {
    [ -d /etc/mosquitto/conf.d ] || fail "no Mosquitto here: apt-get install mosquitto, or leave --mosquitto out"
    kept=""
    for place in "$BROKER" "$BROKER_UNIT"; do
        [ ! -e "$place" ] || cmp -s "$(broker_source "$place")" "$place" || kept="$kept $place"
    done
    if [ -n "$kept" ]; then
        say "left as it is, other than the shipped one:$kept"
        return
    fi
    [ ! -e "$BROKER" ] || [ ! -e "$BROKER_UNIT" ] || return 0
    mkdir -p "$(dirname "$BROKER_UNIT")"
    for place in "$BROKER" "$BROKER_UNIT"; do
        cp "$(broker_source "$place")" "$place"
    done
    systemctl daemon-reload
    if ! systemctl try-restart mosquitto.service; then
        drop_broker
        systemctl restart mosquitto.service || true
        fail "Mosquitto does not start with deploy/mosquitto.conf beside its other settings; it was taken out again"
    fi
    changed=yes
    say "wrote $BROKER and its drop-in mosquitto.service.d"
}

# What was changed by hand is the administrator's and stays.
drop_broker() {
    for place in "$BROKER" "$BROKER_UNIT"; do
        ! cmp -s "$(broker_source "$place")" "$place" || rm "$place"
    done
    rmdir "$(dirname "$BROKER_UNIT")" 2>/dev/null || true
    systemctl daemon-reload
}

# Restarts what runs, and nothing else; Type=notify makes it wait until each is up.
restart() {
    systemctl daemon-reload
    for unit in $(systemctl list-units --plain --no-legend --state=active,activating,reloading "$NAME.service" "$NAME@*.service" | cut -d ' ' -f 1); do
        say "restarting $unit"
        systemctl restart "$unit" || fail "$unit does not start: systemctl status $unit; $0 --roll-back goes back"
    done
}

# -- what can be asked for ----------------------------------------------------------------------------------

do_install() {
    need_root
    need_python
    exec 9>/run/lock/$NAME.install
    flock -n 9 || fail "another installation is under way"
    make_release
    check_configurations "$new"
    put_config
    put_units
    [ "$broker" = no ] || put_broker
    switch_to "$new"
    drop_old_releases
    if [ "$changed" = yes ]; then
        restart
        say "done. Configuration: $CONFIG/config.yaml; start it with: systemctl enable --now $NAME"
    else
        say "$release is installed already: nothing to do"
    fi
}

do_fetch() {
    need_python
    place=$(mktemp -d)
    trap 'rm -rf "$place"' EXIT
    "$python" -m venv "$place"
    "$place/bin/pip" --quiet --disable-pip-version-check download --require-hashes --only-binary :all: \
        --dest "$fetch" -r "$here/deploy/requirements.lock" -r "$here/deploy/build.lock"
    say "$fetch is filled for $("$python" -V) on $(uname -m): copy it over and use --wheels"
}

do_roll_back() {
    need_root
    before=$(readlink "$PREFIX/previous" 2>/dev/null) || fail "there is no release before this one"
    check_configurations "$before"
    switch_to "$before"
    restart
}

do_remove() {
    need_root
    for unit in $(systemctl list-units --all --plain --no-legend "$NAME.service" "$NAME@*.service" | cut -d ' ' -f 1); do
        systemctl stop "$unit"
    done
    # Whatever is enabled hangs in the directories of targets.
    find /etc/systemd/system -name "$NAME.service" -type l -delete -o -name "$NAME@*.service" -type l -delete
    rm -f "$UNITS/$NAME.service" "$UNITS/$NAME@.service" "$SYSUSERS"
    rmdir "$UNITS" "$(dirname "$UNITS")" "$(dirname "$SYSUSERS")" 2>/dev/null || true
    [ "$(readlink "$COMMAND" || true)" != "$PREFIX/venv/bin/$NAME" ] || rm -f "$COMMAND"
    rm -rf "$PREFIX"
    systemctl daemon-reload
    systemctl reset-failed "$NAME.service" "$NAME@*.service" 2>/dev/null || true
    if [ "$purge" = no ]; then
        say "removed; $CONFIG, $STATE, /etc/credstore and the user $NAME are kept (--purge takes them too)"
        return
    fi
    rm -rf "$CONFIG" "$STATE" "/etc/systemd/system/$NAME.service.d" /etc/systemd/system/"$NAME"@*.service.d
    rm -f /etc/credstore/"$NAME".* /etc/credstore/"$NAME"@*
    if [ -e "$BROKER" ]; then
        drop_broker
        systemctl try-restart mosquitto.service
    fi
    ! getent passwd "$NAME" >/dev/null || userdel "$NAME"
    say "removed, with configuration, data and secrets"
}

task=install
purge=no
while [ $# -gt 0 ]; do
    case $1 in
    --wheels | --python | --fetch)
        [ $# -gt 1 ] || fail "$1 needs a value"
        case $1 in
        --wheels) wheels=$(cd "$2" 2>/dev/null && pwd) || fail "$2 is no folder" ;;
        --python) python=$2 ;;
        --fetch) task=fetch fetch=$2 ;;
        esac
        shift
        ;;
    --mosquitto) broker=yes ;;
    --roll-back) task=roll_back ;;
    --remove) task=remove ;;
    --purge) purge=yes ;;
    -h | --help) usage && exit 0 ;;
    *) usage >&2 && fail "what is $1?" ;;
    esac
    shift
done
[ "$purge" = no ] || [ "$task" = remove ] || fail "--purge goes with --remove"

# What the administrator's shell has for other Pythons shall not reach this one.
unset PYTHONPATH PYTHONHOME PIP_TARGET PIP_PREFIX PIP_USER PIP_REQUIRE_VIRTUALENV PIP_NO_INDEX 2>/dev/null || true
"do_$task"
