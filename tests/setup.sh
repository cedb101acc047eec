#!/usr/bin/env bash
# Installs what the tests need and is not there: Debian packages on the machine, npm and Python packages in this folder.
set -euo pipefail
cd "$(dirname "$0")/.."

need=()
while read -r command package; do
  command -v "$command" >/dev/null 2>&1 || [ -x "/usr/sbin/$command" ] || need+=("$package")
done <<'LIST'
chromium chromium
curl curl
ffmpeg ffmpeg
haproxy haproxy
nginx nginx-light
openssl openssl
node nodejs
npm npm
LIST
python3 -c 'import venv, ensurepip' 2>/dev/null || need+=(python3-venv)

if [ ${#need[@]} -gt 0 ]; then
  echo "installing Debian packages: ${need[*]}"
  as_root=; [ "$(id -u)" = 0 ] || as_root=sudo
  $as_root apt-get update -qq
  DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y -qq --no-install-recommends "${need[@]}" >/dev/null
fi

if [ ! -e node_modules/.package-lock.json ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
  echo "installing npm packages into node_modules"
  npm ci --no-audit --no-fund --ignore-scripts --loglevel=error
  touch node_modules/.package-lock.json
fi

if [ ! -e .venv/.done ] || [ tests/foreign/requirements.txt -nt .venv/.done ]; then
  echo "installing Python packages into .venv"
  python3 -m venv .venv
  .venv/bin/pip install --quiet --disable-pip-version-check --requirement tests/foreign/requirements.txt
  touch .venv/.done
fi
