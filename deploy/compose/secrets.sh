#!/bin/sh
# Makes the secrets of deploy/compose.yaml, those that are missing: random ones, each in a file of its own, which only
# root and group 10464 may read (the containers that need one are in it). Then adds the broker's users:
#   deploy/compose/secrets.sh                   the monitor
#   deploy/compose/secrets.sh TAR NUR reader    and these; each password is in secrets/users/NAME
# Takes `mosquitto_passwd` of this machine, else that of the broker's image.
set -eu
umask 077
here=$(cd "$(dirname "$0")" && pwd)
folder=${SECRETS:-$here/secrets}
group=${SECRETS_GROUP:-10464}
image=$(sed -n 's/^ *image: \(eclipse-mosquitto:.*\)$/\1/p' "$here/../compose.yaml")

for name in "$@"; do
    case $name in
    *[!A-Za-z0-9_-]* | "")
        echo "secrets.sh: found user '$name'; a name is letters, digits, _ and -, such as TAR" >&2
        exit 1
        ;;
    esac
done

mkdir -p "$folder/users"
# The containers reach the files through mounts of their own; nobody else comes through here.
chmod 700 "$folder"

# random FILE: makes it once.
random() {
    [ -s "$1" ] || head -c 24 /dev/urandom | base64 | tr -d '\n' >"$1"
}

# The password is on no command line: mosquitto_passwd takes the whole file, and hashes what is in it.
hash_passwords() {
    if PATH=$PATH:/usr/sbin command -v mosquitto_passwd >/dev/null 2>&1; then
        PATH=$PATH:/usr/sbin mosquitto_passwd -U "$1"
    else
        docker run --rm --network none --user "$(id -u):$(id -g)" --volume "$folder:/secrets" \
            "$image" mosquitto_passwd -U "/secrets/$(basename "$1")"
    fi
}

for name in mqtt-password http-token grafana-password; do
    random "$folder/$name"
done
: >"$folder/new"
printf 'geospace-monitor:%s\n' "$(cat "$folder/mqtt-password")" >>"$folder/new"
for name in "$@"; do
    random "$folder/users/$name"
done
for file in "$folder"/users/*; do
    [ -e "$file" ] || continue
    printf '%s:%s\n' "$(basename "$file")" "$(cat "$file")" >>"$folder/new"
done
hash_passwords "$folder/new"
# In place, so that a container that has it mounted sees the new one.
cat "$folder/new" >"$folder/broker-passwords"
rm "$folder/new"

for name in mqtt-password http-token grafana-password broker-passwords; do
    chgrp "$group" "$folder/$name"
    chmod 640 "$folder/$name"
done
echo "in $folder; a broker that runs takes new users with: docker compose -f deploy/compose.yaml kill -s HUP broker"
