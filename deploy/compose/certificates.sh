#!/bin/sh
# certificates.sh FOLDER: a CA and, for each managed service, a certificate by the name it has in the
# network. Does nothing when they are there.
set -eu
folder=$1
[ ! -f "$folder/ca.crt" ] || exit 0
umask 077
mkdir -p "$folder"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -sha256 \
  -subj '/CN=Pontoon compose CA' -keyout "$work/ca.key" -out "$work/ca.crt" 2>/dev/null
for name in target-postgres target-redis; do
  mkdir -p "$folder/$name"
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$name" \
    -keyout "$folder/$name/server.key" -out "$work/server.csr" 2>/dev/null
  printf 'subjectAltName=DNS:%s,DNS:localhost,IP:127.0.0.1\n' "$name" >"$work/names"
  openssl x509 -req -in "$work/server.csr" -CA "$work/ca.crt" -CAkey "$work/ca.key" \
    -CAcreateserial -days 825 -sha256 -extfile "$work/names" -out "$folder/$name/server.crt" 2>/dev/null
  # Both images run their server as this user.
  chown -R "${OWNER:-999:999}" "$folder/$name"
done
chmod 0755 "$folder"
# The CA comes last: whoever finds it finds the rest.
install -m 0644 "$work/ca.crt" "$folder/ca.crt"
