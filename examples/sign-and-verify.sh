#!/usr/bin/env bash
# Signs a file in the device and has OpenSSL check it. `casemate` is `npx casemate` inside the repository.
set -euo pipefail
casemate=${CASEMATE:-npx casemate}
key="demo-$$"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

echo "what is to be signed" > "$work/document"
$casemate key create "$key" --algorithm rsa-3072 --use sign
$casemate sign "$key" --in "$work/document" --scheme rsa-pkcs1-sha256 --out "$work/signature"
$casemate key public "$key" --out "$work/public.pem"
if command -v openssl > /dev/null; then
  openssl dgst -sha256 -verify "$work/public.pem" -signature "$work/signature" "$work/document"
else
  $casemate verify "$key" --in "$work/document" --scheme rsa-pkcs1-sha256 --signature "$work/signature"
fi
$casemate key destroy "$key" --now
