#!/usr/bin/env bash
# Makes a throw-away authority and two certificates for localhost in the folder given.
# Example: certs/make.sh /run/user/1000/weir-certs
set -euo pipefail
folder=${1:?"which folder? example: certs/make.sh ./dev-certs"}
mkdir -p "$folder"
cd "$folder"
umask 077
names="subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj "/CN=Weir development authority" \
  -keyout ca.key -out ca.pem 2>/dev/null
leaf() {
  openssl req -newkey "$2" ${3:+-pkeyopt "$3"} -nodes -subj "/CN=localhost" -keyout "$1.key" -out "$1.csr" 2>/dev/null
  openssl x509 -req -in "$1.csr" -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 \
    -extfile <(printf '%s\nextendedKeyUsage=serverAuth\nbasicConstraints=CA:FALSE\n' "$names") -out "$1.pem" 2>/dev/null
  rm "$1.csr"
}
leaf ecdsa ec ec_paramgen_curve:P-256
leaf rsa rsa:2048
printf 'made in %s: ca.pem, ecdsa.pem, ecdsa.key, rsa.pem, rsa.key\ntry: curl --cacert %s/ca.pem https://localhost:8443/\n' "$PWD" "$PWD"
