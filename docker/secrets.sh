#!/bin/sh
# Writes to .env a random value for each secret that docker-compose.yml demands and .env does not have yet.
set -eu
umask 077
cd "$(dirname "$0")/.."
touch .env
chmod 600 .env
[ -z "$(tail -c 1 .env)" ] || echo >> .env # its last line may lack an end
grep -o '\${[A-Z_]*:?' docker-compose.yml | tr -d '${:?' | sort -u | while read -r name; do
    if ! grep -q "^$name=." .env; then
        # Letters and digits alone, because passwords stand in URLs.
        echo "$name=$(od -An -v -tx1 -N32 /dev/urandom | tr -d ' \n')" >> .env
    fi
done
