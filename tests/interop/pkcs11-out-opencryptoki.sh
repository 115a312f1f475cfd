#!/bin/sh
# Runs a command beside a slot daemon of opencryptoki with two soft tokens, in mount and IPC namespaces of its own: the system's files stay as they are.
# usage: unshare --mount --ipc pkcs11-out-opencryptoki.sh DIRECTORY PIN COMMAND…
set -eu
directory=$1 pin=$2
shift 2
module=/usr/lib/x86_64-linux-gnu/pkcs11/libopencryptoki.so
officer=87654321

mkdir -p "$directory/etc" "$directory/lib" /var/lib/opencryptoki
{
  echo "version opencryptoki-3.1"
  for slot in 0 1; do printf 'slot %s\n{\nstdll = libpkcs11_sw.so\ntokname = token%s\n}\n' "$slot" "$slot"; done
} > "$directory/etc/opencryptoki.conf"
mount --bind "$directory/etc" /etc/opencryptoki
mount --bind "$directory/lib" /var/lib/opencryptoki
# The daemon's socket and its PID file, too: another one may run here.
mount -t tmpfs none /run
for token in token0 token1 swtok; do
  mkdir -p "/var/lib/opencryptoki/$token/TOK_OBJ" "/run/lock/opencryptoki/$token"
done
chgrp -R pkcs11 "$directory/lib" /run/lock/opencryptoki
chmod -R 770 "$directory/lib" /run/lock/opencryptoki

pkcsslotd
trap 'kill "$(cat /run/pkcsslotd.pid)" 2>/dev/null || true' EXIT
tries=0
until pkcsconf -t > "$directory/tokens" 2>&1 && grep -q 'Token #1' "$directory/tokens"; do
  tries=$((tries + 1))
  [ "$tries" -lt 50 ] || { cat "$directory/tokens"; echo "the slot daemon did not start"; exit 1; }
  sleep 0.1
done
for slot in 0 1; do
  pkcs11-tool --module "$module" --slot "$slot" --init-token --label "token$slot" --so-pin "$officer" > /dev/null
  pkcs11-tool --module "$module" --slot "$slot" --login --login-type so --so-pin "$officer" --init-pin --pin "$pin" > /dev/null
done
"$@"
