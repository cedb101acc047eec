#!/usr/bin/env bash
# Installs what the tests need and is not there: Debian packages on the machine, npm and Python packages in this folder.
# Says what it installs, and nothing where there is nothing to do.
set -euo pipefail
cd "$(dirname "$0")/.."

need=()
while read -r command package; do
  command -v "$command" >/dev/null 2>&1 || [ -x "/usr/sbin/$command" ] || need+=("$package")
done <<'LIST'
chromium chromium
curl curl
ffmpeg ffmpeg
go golang-go
haproxy haproxy
nats-server nats-server
nginx nginx
openssl openssl
node nodejs
npm npm
php php-cli
promtool prometheus
LIST
[ -e /usr/share/gocode/src/github.com/golang-jwt/jwt ] || need+=(golang-github-golang-jwt-jwt-dev)
[ -e /etc/ssl/certs/ca-certificates.crt ] || need+=(ca-certificates)

# The first Python that can make environments, for the one in PATH may have been built without.
python() {
  local candidate
  for candidate in python3 /usr/bin/python3; do
    if "$candidate" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
      echo "$candidate"
      return
    fi
  done
  return 1
}
python >/dev/null || need+=(python3 python3-venv)

if [ ${#need[@]} -gt 0 ]; then
  echo "installing Debian packages: ${need[*]}"
  as_root=; [ "$(id -u)" = 0 ] || as_root=sudo
  # The tests start servers of their own; those of the packages stay off.
  if [ ! -e /usr/sbin/policy-rc.d ]; then
    printf '#!/bin/sh\nexit 101\n' | $as_root tee /usr/sbin/policy-rc.d >/dev/null
    $as_root chmod 755 /usr/sbin/policy-rc.d
    trap '$as_root rm -f /usr/sbin/policy-rc.d' EXIT
  fi
  $as_root apt-get update -qq -o DPkg::Lock::Timeout=120
  $as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=120 "${need[@]}" >/dev/null
fi

if [ ! -e node_modules/.package-lock.json ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
  echo "installing npm packages into node_modules"
  npm ci --no-audit --no-fund --ignore-scripts --loglevel=error >/dev/null
  touch node_modules/.package-lock.json
fi

if [ tests/foreign/requirements.txt -nt .venv/.done ] || ! .venv/bin/python -c 'import aioquic, jwt, pylsqpack' 2>/dev/null; then
  echo "installing Python packages into .venv"
  "$(python)" -m venv --clear .venv
  .venv/bin/pip install --quiet --disable-pip-version-check --requirement tests/foreign/requirements.txt
  touch .venv/.done
fi
