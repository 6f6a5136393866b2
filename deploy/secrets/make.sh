#!/usr/bin/env bash
# Makes the secrets that compose.yml mounts, once: what is there stays. Another folder may be named.
set -euo pipefail
folder="${1:-$(cd "$(dirname "$0")" && pwd)}"
umask 077
mkdir -p "$folder"

random() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }

# Containers run as users of their own, so the files can be read by all; it is their folder that keeps others out.
chmod 700 "$folder"
put() {
  [ -e "$folder/$1" ] && { cat >/dev/null; return; }
  cat >"$folder/$1"
  chmod 644 "$folder/$1"
}

if [ ! -e "$folder/nats_passwords" ]; then
  services="$(random)"
  app="$(random)"
  printf 'EVOLVENT_PASSWORD: "s%s"\nAPP_PASSWORD: "a%s"\n' "$services" "$app" | put nats_passwords
  printf 'nats = "nats://evolvent:s%s@nats:4222"\n\n%s\n' "$services" '# [model]
# base_url = "https://..."
# api_key = "..."' | put evolvent.toml
  printf 'nats://app:a%s@127.0.0.1:4222\n' "$app" | put app_url
fi
random | put grafana_password
echo "The secrets are in $folder; name your model server in evolvent.toml."
