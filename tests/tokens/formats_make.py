#!/usr/bin/env python3
"""Makes formats_python.json: Common Access Tokens by `pycose`, by `cwt`, and by hand on `cbor2`; URI signing tokens by
PyJWT; edge tokens by their public formula.

Each case: a token, what it is judged by, and the verdict: "ok" or the word of the reason. The keys are made anew at every
run and nothing private of them is written, but the shared secrets, which open nothing but this table.
Run: pip install pycose cwt cbor2 PyJWT cryptography; tests/tokens/formats_make.py
"""

import base64
import hashlib
import hmac
import json
import pathlib

import cbor2
import cwt
import jwt
from cbor2 import CBORTag
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from pycose.algorithms import Es256, EdDSA, HMAC256
from pycose.headers import KID, Algorithm
from pycose.keys import EC2Key, OKPKey, SymmetricKey
from pycose.messages import Mac0Message, Sign1Message

NOW = 1_720_000_000
ISSUER, AUDIENCE = "https://issuer.test", "weir-edge"
URL = "https://live.example.com/event1/main.m3u8"
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551

cases = []


def b64(octets):
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def add(name, by, verdict, token, **terms):
    assert all(other["name"] != name for other in cases), name
    cases.append({"name": name, "by": by, "verdict": verdict, "keys": "main", **terms, "token": token})


# Keys -------------------------------------------------------------------------------------------------------------------

SECRET = b"formats test secret opens nothing"[:32]
OTHER_SECRET = b"another test secret, of 32 octets"[:32]
P256, P256_OTHER = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()
RSA = rsa.generate_private_key(65537, 2048)


def number(value, length=None):
    return b64(value.to_bytes(length or (value.bit_length() + 7) // 8, "big"))


def ec_jwk(key, **members):
    numbers = key.public_key().public_numbers()
    return {"kty": "EC", "crv": "P-256", "x": number(numbers.x, 32), "y": number(numbers.y, 32), **members}


def raw(key):
    return key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)


def pem(key):
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


RSA_NUMBERS = RSA.public_key().public_numbers()
ODD_KID = b"\xff\x00\x01"
HEX_KEY = "8c1f2a1b9d7e4c60a5b3f0e2d4c69788112233445566778899aabbccddeeff00"
JWKS = [
    {"kty": "oct", "kid": "hs", "alg": "HS256", "k": b64(SECRET)},
    ec_jwk(P256, kid="es", alg="ES256"),
    {"kty": "RSA", "kid": "ps", "alg": "PS256", "n": number(RSA_NUMBERS.n), "e": number(RSA_NUMBERS.e)},
    {"kty": "OKP", "crv": "Ed25519", "kid": "ed", "alg": "EdDSA", "x": b64(raw(ED))},
]
KEYSETS = {
    "main": {"jwks": {"keys": JWKS}},
    "odd kid": {"jwks": {"keys": [{"kty": "oct", "kid": b64(ODD_KID), "alg": "HS256", "k": b64(SECRET)}]}},
    "public alone": {"jwks": {"keys": JWKS[1:]}},
    "edge": {"secret": HEX_KEY},
    "edge, not hex": {"secret": "a secret that was never written in hexadecimal"},
}

# Common Access Tokens ---------------------------------------------------------------------------------------------------

ISS, SUB, AUD, EXP, NBF, IAT, CTI, CNF = range(1, 9)
REPLAY, POR, CATV, NIP, CATU, CATM, ALPN, CATH, GEO = range(308, 317)
COORD, ALT, TPK, IFDATA, DPOP, CATIF, CATR, TPRINT = range(317, 325)
CAT = {"formats": ["cat"]}


def claims(more=None, without=()):
    all_claims = {ISS: ISSUER, SUB: "viewer-7", AUD: AUDIENCE, EXP: NOW + 300, IAT: NOW - 10, CTI: b"\x01\x02\x03", CATV: 1}
    all_claims.update(more or {})
    return {label: value for label, value in all_claims.items() if label not in without}


def pycose_mac0(payload, protected=None, unprotected=None, secret=SECRET):
    payload = payload if isinstance(payload, bytes) else cbor2.dumps(payload)
    message = Mac0Message(
        phdr={Algorithm: HMAC256} if protected is None else protected,
        uhdr={KID: b"hs"} if unprotected is None else unprotected,
        payload=payload,
    )
    message.key = SymmetricKey(k=secret)
    return message.encode(tag=True)


def with_low_s(message):
    """Of the two signatures that hold, the one that is taken: libraries make either."""
    members = cbor2.loads(message).value
    s = int.from_bytes(members[3][32:], "big")
    low = min(s, P256_ORDER - s).to_bytes(32, "big")
    return cbor2.dumps(CBORTag(18, members[:3] + [members[3][:32] + low]))


def pycose_sign1(payload, algorithm=Es256, kid=b"es", key=P256):
    numbers = key.private_numbers() if algorithm is Es256 else None
    message = Sign1Message(phdr={Algorithm: algorithm}, uhdr={KID: kid}, payload=cbor2.dumps(payload))
    if algorithm is Es256:
        public = numbers.public_numbers
        message.key = EC2Key(
            crv="P_256", d=numbers.private_value.to_bytes(32, "big"), x=public.x.to_bytes(32, "big"), y=public.y.to_bytes(32, "big")
        )
    else:
        seed = key.private_bytes(
            serialization.Encoding.Raw, serialization.PrivateFormat.Raw, serialization.NoEncryption()
        )
        message.key = OKPKey(crv="ED25519", d=seed, x=raw(key))
    encoded = message.encode(tag=True)
    return with_low_s(encoded) if algorithm is Es256 else encoded


def text(message, tag=b"\xd8\x3d"):
    return b64(tag + message)


def mac(payload, **how):
    return text(pycose_mac0(payload, **how))


def cat(name, verdict, more=None, without=(), **terms):
    add(f"cat: {name}", "pycose", verdict, mac(claims(more, without)), **{**CAT, **terms})


def hand(name, verdict, token, **terms):
    add(f"cat: {name}", "hand", verdict, token, **{**CAT, **terms})


def by_hand(payload, protected=None, unprotected=None, secret=SECRET, context="MAC0"):
    """A COSE_Mac0 whose parts may be any octets."""
    protected = cbor2.dumps({1: 5}) if protected is None else protected
    payload = payload if isinstance(payload, bytes) else cbor2.dumps(payload)
    tag = hmac.new(secret, cbor2.dumps([context, protected, b"", payload]), hashlib.sha256).digest()
    return [protected, {4: b"hs"} if unprotected is None else unprotected, payload, tag]


def tagged(members, tag=17):
    return cbor2.dumps(CBORTag(tag, members))


def signed_cwt(payload, key, alg_name, **how):
    return cwt.CWT.new().encode(payload, key, tagged=True, **how)


# every algorithm, by two libraries
add("cat: HS256 by pycose", "pycose", "ok", mac(claims()), **CAT)
add("cat: without tag 61", "pycose", "ok", text(pycose_mac0(claims()), tag=b""), **CAT)
add("cat: ES256 by pycose", "pycose", "ok", text(pycose_sign1(claims())), **CAT)
add("cat: EdDSA by pycose", "pycose", "ok", text(pycose_sign1(claims(), EdDSA, b"ed", ED)), **CAT)
CWT_CLAIMS = {ISS: ISSUER, SUB: "viewer-7", AUD: AUDIENCE, EXP: NOW + 300, NBF: NOW - 5, IAT: NOW - 10, CTI: b"\x09", CATV: 1, CATM: ["GET"]}
SYMMETRIC = cwt.COSEKey.from_symmetric_key(SECRET, alg="HS256", kid=b"hs")
ES_CWT, PS_CWT, ED_CWT = (
    cwt.COSEKey.from_pem(pem(P256), kid=b"es"),
    cwt.COSEKey.from_pem(pem(RSA), alg="PS256", kid=b"ps"),
    cwt.COSEKey.from_pem(pem(ED), kid=b"ed"),
)
ENCODER = cwt.CWT.new(expires_in=3600 * 24 * 365 * 50, leeway=60)


def cwt_token(key, payload=None):
    encode = ENCODER.encode_and_mac if key is SYMMETRIC else ENCODER.encode_and_sign
    message = cbor2.dumps(cbor2.loads(encode(payload or CWT_CLAIMS, key, tagged=True)).value)
    return text(with_low_s(message) if key is ES_CWT else message)


for label, key in [("HS256", SYMMETRIC), ("ES256", ES_CWT), ("PS256", PS_CWT), ("EdDSA", ED_CWT)]:
    add(f"cat: {label} by cwt", "cwt", "ok", cwt_token(key), **CAT)
add("cat: the library's own claims by name", "cwt", "ok",
    b64(ENCODER.encode({"iss": ISSUER, "sub": "v", "aud": AUDIENCE, "exp": NOW + 60, "nbf": NOW, "iat": NOW, "cti": "abc"}, SYMMETRIC, tagged=True)), **CAT)

# keys and algorithms
cat("a key of another secret", "signature-bad")
cases[-1]["token"] = mac(claims(), secret=OTHER_SECRET)
add("cat: ES256 by another key", "pycose", "signature-bad", text(pycose_sign1(claims(), key=P256_OTHER)), **CAT)
add("cat: kid of nobody", "pycose", "key-unknown", mac(claims(), unprotected={KID: b"nobody"}), **CAT)
add("cat: no kid", "pycose", "ok", mac(claims(), unprotected={}), **CAT)
add("cat: kid in the protected header", "pycose", "ok", mac(claims(), protected={Algorithm: HMAC256, KID: b"hs"}, unprotected={}), **CAT)
add("cat: kid that is no text", "pycose", "ok", mac(claims(), unprotected={KID: ODD_KID}), **CAT, keys="odd kid")
add("cat: kid of a key of another algorithm", "pycose", "alg-refused", mac(claims(), unprotected={KID: b"es"}), **CAT)
add("cat: a MAC where only public keys are", "pycose", "alg-refused", mac(claims(), unprotected={}), **CAT, keys="public alone")
public_pem = P256.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
hand("the public key as a secret", "alg-refused", text(tagged(by_hand(claims(), None, {4: b"es"}, public_pem))))
hand("Mac0 under the tag of Sign1", "alg-refused", text(tagged(by_hand(claims()), tag=18)))
hand("Sign1 under the tag of Mac0", "alg-refused", text(cbor2.dumps(CBORTag(17, cbor2.loads(pycose_sign1(claims())).value))))
hand("a MAC said to be ES256", "alg-refused", text(tagged(by_hand(claims(), cbor2.dumps({1: -7})))))
hand("HMAC with a short tag (4)", "alg-refused", text(tagged(by_hand(claims(), cbor2.dumps({1: 4})))))
hand("HMAC with SHA-512 (7)", "alg-refused", text(tagged(by_hand(claims(), cbor2.dumps({1: 7})))))
hand("alg that is a text", "alg-refused", text(tagged(by_hand(claims(), cbor2.dumps({1: "HS256"})))))
hand("no alg", "alg-refused", text(tagged(by_hand(claims(), cbor2.dumps({})))))
hand("alg in the unprotected header alone", "alg-refused", text(tagged(by_hand(claims(), cbor2.dumps({}), {1: 5, 4: b"hs"}))))
hand("alg in both headers", "token-malformed", text(tagged(by_hand(claims(), None, {1: 5, 4: b"hs"}))))
hand("an empty protected header", "token-malformed", text(tagged(by_hand(claims(), b""))))
hand("crit", "crit-unknown", text(tagged(by_hand(claims(), cbor2.dumps({1: 5, 2: [99], 99: 1})))))
hand("an empty crit", "crit-unknown", text(tagged(by_hand(claims(), cbor2.dumps({1: 5, 2: []})))))
hand("claims in the header", "claim-unknown", text(tagged(by_hand(claims(), cbor2.dumps({1: 5, 15: {1: "x"}})))))
hand("kid that is a text", "token-malformed", text(tagged(by_hand(claims(), None, {4: "hs"}))))
hand("kid of 129 octets", "token-malformed", text(tagged(by_hand(claims(), None, {4: b"k" * 129}))))
hand("a key that the token brings", "ok", text(tagged(by_hand(claims(), None, {4: b"hs", -1: {1: 4, -1: OTHER_SECRET}}))))
mac_of_sign1 = by_hand(claims(), context="Signature1")
hand("a MAC over the other structure", "signature-bad", text(tagged(mac_of_sign1)))
members = by_hand(claims())
hand("a tag cut short", "signature-bad", text(tagged(members[:3] + [members[3][:16]])))
hand("no tag", "signature-bad", text(tagged(members[:3] + [b""])))
high = cbor2.loads(pycose_sign1(claims())).value
s = P256_ORDER - int.from_bytes(high[3][32:], "big")
hand("ES256 with a high s", "signature-bad", text(cbor2.dumps(CBORTag(18, high[:3] + [high[3][:32] + s.to_bytes(32, "big")]))))
hand("ES256 with r and s of zero", "signature-bad", text(cbor2.dumps(CBORTag(18, high[:3] + [bytes(64)]))))

# the envelope
hand("tag 61 twice", "token-malformed", text(tagged(members), tag=b"\xd8\x3d\xd8\x3d"))
hand("tag 61 alone", "token-malformed", text(cbor2.dumps(members)))
hand("no tag at all", "token-malformed", b64(cbor2.dumps(members)))
hand("tag 17 in tag 17", "token-malformed", text(cbor2.dumps(CBORTag(17, CBORTag(17, members)))))
hand("tag 98 (COSE_Sign)", "token-malformed", text(cbor2.dumps(CBORTag(98, members))))
hand("tag 16 (COSE_Encrypt0)", "token-malformed", text(cbor2.dumps(CBORTag(16, members[:3]))))
hand("three members", "token-malformed", text(tagged(members[:3])))
hand("five members", "token-malformed", text(tagged(members + [b""])))
hand("octets behind the end", "token-malformed", text(tagged(members) + b"\x00"))
hand("cut short", "token-malformed", text(tagged(members)[:-1]))
hand("a detached payload", "token-malformed", text(tagged([members[0], members[1], None, members[3]])))
hand("a payload that is no map", "token-malformed", text(tagged(by_hand(cbor2.dumps([1, 2])))))
hand("an empty payload", "token-malformed", text(tagged(by_hand(b""))))
hand("octets behind the payload", "token-malformed", text(tagged(by_hand(cbor2.dumps(claims()) + b"\x00"))))
hand("padding", "token-malformed", mac(claims()) + "=")
hand("a plus from the other alphabet", "token-malformed", "2D3+" + mac(claims())[4:])
hand("white space", "token-malformed", mac(claims()) + "\n")
hand("larger than 8 KiB", "token-too-large", mac(claims({SUB: "x" * 200, IFDATA: "y" * 7000})))
hand("an indefinite map as protected header", "token-malformed", text(tagged(by_hand(claims(), b"\xbf\x01\x05\xff"))))
hand("an indefinite list as envelope", "token-malformed", text(b"\xd1\x9f" + b"".join(cbor2.dumps(m) for m in members) + b"\xff"))
hand("a label twice in the protected header", "token-malformed", text(tagged(by_hand(claims(), b"\xa2\x01\x05\x01\x05"))))
head = cbor2.dumps(claims())
hand("exp twice", "token-malformed", text(tagged(by_hand(bytes([head[0] + 1]) + head[1:] + cbor2.dumps(EXP) + cbor2.dumps(NOW + 9000)))))
hand("exp twice, the second written longer", "token-malformed", text(tagged(by_hand(bytes([head[0] + 1]) + head[1:] + b"\x18\x04" + cbor2.dumps(NOW + 9000)))))
hand("an indefinite payload", "ok", text(tagged(by_hand(b"\xbf" + head[1:] + b"\xff"))))
hand("numbers written longer than need be", "ok", text(tagged(by_hand(head.replace(cbor2.dumps(NOW + 300), b"\x1b" + (NOW + 300).to_bytes(8, "big"))))))
deep = b"\x00"
for _ in range(9):
    deep = b"\x81" + deep
hand("nested nine deep", "token-malformed", text(tagged(by_hand(b"\xa1\x19\x01\x40" + deep))))
hand("a thousand values", "token-malformed", text(tagged(by_hand(claims({IFDATA: [0] * 1_100})))))
hand("a key that is octets", "token-malformed", text(tagged(by_hand(b"\xa1\x41\x01\x00"))))
hand("a text that is no UTF-8", "token-malformed", text(tagged(by_hand(b"\xa1\x02\x61\xff"))))

# time, parties
cat("expired", "token-expired", {EXP: NOW - 6})
cat("expired within the leeway", "ok", {EXP: NOW - 4})
cat("exp with tag 1", "ok", {EXP: CBORTag(1, NOW + 300)})
cat("exp with tag 0", "token-malformed", {EXP: CBORTag(0, "2024-07-03T09:46:40Z")})
cat("exp with a fraction", "ok", {EXP: NOW + 0.5})
cat("exp with a fraction, over", "token-expired", {EXP: NOW - 4.5 - 1})
cat("exp as a text", "token-malformed", {EXP: str(NOW + 300)})
cat("exp negative", "token-malformed", {EXP: -1})
cat("exp infinite", "token-malformed", {EXP: float("inf")})
cat("exp no number", "token-malformed", {EXP: float("nan")})
cat("exp beyond 2^53", "token-malformed", {EXP: 2**53 + 1})
cat("exp a bignum", "token-malformed", {EXP: 2**70})
cat("exp null", "token-malformed", {EXP: None})
cat("nbf to come", "token-not-yet", {NBF: NOW + 6})
cat("nbf within the leeway", "ok", {NBF: NOW + 5})
cat("iat to come", "token-not-yet", {IAT: NOW + 60})
cat("another issuer", "issuer-unknown", {ISS: "https://elsewhere.test"})
cat("no issuer", "issuer-unknown", without=[ISS])
cat("issuer that is no text", "token-malformed", {ISS: 7})
cat("for somebody else", "audience-mismatch", {AUD: "somebody"})
cat("for several", "ok", {AUD: ["somebody", AUDIENCE]})
cat("for nobody", "token-malformed", {AUD: []})
cat("cti empty", "token-malformed", {CTI: b""})
cat("cti a text", "token-malformed", {CTI: "abc"})
cat("end of what was paid for", "entitlement-over", {"session_end": NOW - 1})
cat("end of what was paid for to come", "ok", {"session_end": NOW + 100, "max_sessions": 2, "tier": "gold", "weir_session": "s"})
cat("max_sessions of none", "token-malformed", {"max_sessions": 0})

# catu
for number_, (component, kind, value, url, verdict) in enumerate([
    (3, 1, "/event1", URL, "ok"),
    (3, 1, "/event1/", URL, "ok"),
    (3, 1, "/event1", "https://live.example.com/event10/main.m3u8", "uri-out-of-scope"),
    (3, 1, "/event", URL, "uri-out-of-scope"),
    (3, 0, "/event1/main.m3u8", URL, "ok"),
    (3, 0, "/event1/main.m3u8", "https://live.example.com/event1/main.m3u8x", "uri-out-of-scope"),
    (3, 2, ".m3u8", URL, "ok"),
    (3, 2, ".m3u8", "https://live.example.com/event1/a.mp4?x=.m3u8", "uri-out-of-scope"),
    (3, 3, "/event1/", URL, "ok"),
    (3, 3, "/event1/", "https://live.example.com/other/a.mp4?x=/event1/", "uri-out-of-scope"),
    (3, 4, ["/event[0-9]/.*"], URL, "ok"),
    (3, 4, ["event[0-9]"], URL, "uri-out-of-scope"),
    (3, 4, ["/event1/.*|/other"], "https://live.example.com/xx/event1/", "uri-out-of-scope"),
    (3, 4, ["/(event[0-9])/.*", "event1"], URL, "ok"),
    (3, 4, ["/(event[0-9])/.*", "event2"], URL, "uri-out-of-scope"),
    (3, 4, ["/(event[0-9])/(.*)", None, "main.m3u8"], URL, "ok"),
    (3, 4, ["("], URL, "token-malformed"),
    (3, 4, ["a)|(.*"], URL, "token-malformed"),
    (3, 4, ["(a+)+" * 300], URL, "token-malformed"),
    (3, 4, [], URL, "token-malformed"),
    (3, -1, hashlib.sha256(b"/event1/main.m3u8").digest(), URL, "ok"),
    (3, -1, hashlib.sha256(b"/event1/main.m3u8").hexdigest(), URL, "ok"),
    (3, -1, hashlib.sha256(b"/event1/other.m3u8").digest(), URL, "uri-out-of-scope"),
    (3, -1, b"short", URL, "token-malformed"),
    (3, -2, hashlib.new("sha512_256", b"/event1/main.m3u8").digest(), URL, "ok"),
    (3, -2, hashlib.sha512(b"/event1/main.m3u8").digest()[:32], URL, "uri-out-of-scope"),
    (3, 5, "x", URL, "claim-unknown"),
    (3, 0, 7, URL, "token-malformed"),
    (0, 0, "https", URL, "ok"),
    (0, 0, "https", "http://live.example.com/event1/main.m3u8", "uri-out-of-scope"),
    (1, 0, "live.example.com", URL, "ok"),
    (1, 0, "LIVE.example.com", URL, "ok"),
    (1, 2, ".example.com", URL, "ok"),
    (1, 2, ".example.org", URL, "uri-out-of-scope"),
    (2, 0, "443", URL, "ok"),
    (2, 0, "8443", "https://live.example.com:8443/event1/main.m3u8", "ok"),
    (2, 0, "443", "https://live.example.com:8443/event1/main.m3u8", "uri-out-of-scope"),
    (4, 0, "b=2&a=1", "https://live.example.com/x?a=1&b=2", "ok"),
    (4, 0, "a=1&b=2", "https://live.example.com/x?b=2&a=1", "ok"),
    (4, 0, "a=1", "https://live.example.com/x?a=1&b=2", "uri-out-of-scope"),
    (4, 0, "a=1", URL, "uri-out-of-scope"),
    (5, 0, "/event1", URL, "ok"),
    (5, 0, "/event1/", URL, "ok"),
    (5, 1, "/event1", "https://live.example.com/event1/720p/a.m4s", "ok"),
    (5, 1, "/event1", "https://live.example.com/event10/a.m4s", "uri-out-of-scope"),
    (5, 0, "/event1", "https://live.example.com/event1/720p/a.m4s", "uri-out-of-scope"),
    (6, 0, "main.m3u8", URL, "ok"),
    (7, 0, "main", URL, "ok"),
    (8, 0, ".m3u8", URL, "ok"),
    (8, 0, "m3u8", URL, "ok"),
    (8, 0, "m3u8", "https://live.example.com/event1/m3u8", "uri-out-of-scope"),
    (9, 0, "x", URL, "claim-unknown"),
]):
    cat(f"catu {number_}: component {component}, match {kind}", verdict, {CATU: {component: {kind: value}}}, url=url)
cat("catu of several, all hold", "ok", {CATU: {0: {0: "https"}, 3: {1: "/event1", 2: ".m3u8"}}})
cat("catu of several, one does not hold", "uri-out-of-scope", {CATU: {0: {0: "http"}, 3: {1: "/event1"}}})
cat("catu of two for one, one does not hold", "uri-out-of-scope", {CATU: {3: {1: "/event1", 2: ".mp4"}}})
cat("catu empty", "token-malformed", {CATU: {}})
cat("catu with an empty match", "token-malformed", {CATU: {3: {}}})
cat("catu a list", "token-malformed", {CATU: ["/event1"]})

# the rest of what a token restricts
cat("catm GET", "ok", {CATM: ["GET"]})
cat("catm GET, asked by HEAD", "ok", {CATM: ["GET"]}, method="HEAD")
cat("catm HEAD alone, asked by GET", "method-refused", {CATM: ["HEAD"]})
cat("catm POST", "method-refused", {CATM: ["POST"]})
cat("catm empty", "token-malformed", {CATM: []})
cat("catm a text", "token-malformed", {CATM: "GET"})
cat("catalpn h2", "ok", {ALPN: ["h2", "h3"]}, alpn="h2")
cat("catalpn in octets", "ok", {ALPN: [b"h2"]}, alpn="h2")
cat("catalpn another", "alpn-mismatch", {ALPN: ["h3"]}, alpn="h2")
cat("catalpn of a connection that ends elsewhere", "alpn-mismatch", {ALPN: ["h3"]})
V4, V6 = bytes([203, 0, 113, 7]), bytes.fromhex("20010db8000000000000000000000007")
cat("catnip an address", "ok", {NIP: [CBORTag(52, V4)]}, address="203.0.113.7")
cat("catnip another address", "address-mismatch", {NIP: [CBORTag(52, V4)]}, address="203.0.113.8")
cat("catnip a prefix", "ok", {NIP: [CBORTag(52, [24, bytes([203, 0, 113])])]}, address="203.0.113.200")
cat("catnip a padded prefix", "ok", {NIP: [CBORTag(52, [24, bytes([203, 0, 113, 0])])]}, address="203.0.113.200")
cat("catnip another prefix", "address-mismatch", {NIP: [CBORTag(52, [24, bytes([203, 0, 113])])]}, address="203.0.114.1")
cat("catnip a prefix with bits behind it", "token-malformed", {NIP: [CBORTag(52, [24, V4])]}, address="203.0.113.7")
cat("catnip a prefix too long", "token-malformed", {NIP: [CBORTag(52, [33, V4])]}, address="203.0.113.7")
cat("catnip IPv6", "ok", {NIP: [CBORTag(54, V6)]}, address="2001:db8::7")
cat("catnip an IPv6 prefix", "ok", {NIP: [CBORTag(54, [32, bytes.fromhex("20010db8")])]}, address="2001:db8:1::9")
cat("catnip IPv4 in IPv6's form", "ok", {NIP: [CBORTag(54, bytes(10) + b"\xff\xff" + V4)]}, address="203.0.113.7")
cat("catnip any of several", "ok", {NIP: [64500, CBORTag(54, V6), CBORTag(52, V4)]}, address="203.0.113.7")
cat("catnip a network's number beside a prefix that does not match", "address-mismatch", {NIP: [64500, CBORTag(52, V4)]}, address="198.51.100.1")
cat("catnip a network's number alone", "claim-unknown", {NIP: [64500]}, address="203.0.113.7")
cat("catnip a text", "token-malformed", {NIP: ["203.0.113.7"]}, address="203.0.113.7")
cat("catnip empty", "token-malformed", {NIP: []})
cat("catnip an address of three octets", "token-malformed", {NIP: [CBORTag(52, V4[:3])]})
cat("cath holds", "ok", {CATH: {"X-App": {0: "tv"}}}, headers={"x-app": "tv"})
cat("cath does not hold", "claim-unknown", {CATH: {"X-App": {0: "tv"}}}, headers={"x-app": "web"})
cat("cath of a field that is missing", "claim-unknown", {CATH: {"X-App": {0: "tv"}}})
cat("cath contains", "ok", {CATH: {"user-agent": {3: "Weir", 1: "Player"}}}, headers={"user-agent": "Player/1 Weir"})
cat("cath no name of a field", "token-malformed", {CATH: {"a b": {0: "tv"}}})
cat("country", "ok", {GEO: ["SE", "NO"]}, country="NO")
cat("country in lower case", "ok", {GEO: ["se"]}, country="SE")
cat("another country", "geo-refused", {GEO: ["SE"]}, country="DE")
cat("country not known", "geo-unknown", {GEO: ["SE"]})
cat("subdivision", "ok", {GEO: ["US-CA"]}, country="US-CA")
cat("another subdivision", "geo-refused", {GEO: ["US-CA"]}, country="US-NY")
cat("country of three letters", "token-malformed", {GEO: ["SWE"]}, country="SE")
cat("catv 2", "claim-unknown", {CATV: 2})
cat("no catv", "ok", without=[CATV])
cat("catreplay permitted", "ok", {REPLAY: 0})
cat("catreplay prohibited", "ok", {REPLAY: 1})
cat("catreplay prohibited without cti", "token-malformed", {REPLAY: 1}, without=[CTI])
cat("catreplay reported", "ok", {REPLAY: 2})
cat("catreplay 3", "token-malformed", {REPLAY: 3})
cat("catif", "ok", {CATIF: {EXP: [302, {"Location": "https://example.com/login"}]}, IFDATA: "x"})
cat("catif with a kid", "ok", {CATIF: {EXP: [307, {"Location": "/login"}, "k1"]}})
cat("catif of a wrong shape", "token-malformed", {CATIF: {EXP: 302}})
cat("catif empty", "token-malformed", {CATIF: {}})
for kind, rest in [(0, {}), (1, {3: "c", 5: ["Secure", "Path=/"]}), (2, {4: "x-cat", 6: ["a=b"]}), (3, {7: 307})]:
    cat(f"catr of type {kind}", "ok", {CATR: {0: kind, 1: 120, **rest}})
cat("catr with a deadline", "ok", {CATR: {0: 1, 1: 120, 2: NOW + 600}})
cat("catr without a type", "token-malformed", {CATR: {1: 120}})
cat("catr without expadd", "token-malformed", {CATR: {0: 1}})
cat("catr of type 4", "token-malformed", {CATR: {0: 4, 1: 120}})
cat("catr with a status that is none", "token-malformed", {CATR: {0: 3, 1: 120, 7: 200}})
cat("catr with a key that is not known", "token-malformed", {CATR: {0: 1, 1: 120, 8: 1}})
cat("catr whose cookie ends its line", "token-malformed", {CATR: {0: 1, 1: 120, 5: ["Secure\r\nSet-Cookie: a=b"]}})
cat("catr whose cookie has two attributes in one", "token-malformed", {CATR: {0: 1, 1: 120, 5: ["Secure; Domain=example.com"]}})
cat("catr whose cookie's name ends it", "token-malformed", {CATR: {0: 1, 1: 120, 3: "a=b;"}})

# what is not judged here, and what is of a draft
for name, label, value in [
    ("cnf", CNF, {3: bytes(32)}), ("geohash", 282, "u6sc"), ("catpor", POR, [50, b"id"]), ("catgeocoord", COORD, [[1.0, 2.0, 3]]),
    ("catgeoalt", ALT, [0, 10]), ("cattpk", TPK, bytes(32)), ("catdpop", DPOP, {0: 300}), ("cattprint", TPRINT, {0: 2, 1: "x"}),
    ("325", 325, 1), ("scope", 9, "x"), ("a private number", -70000, 1), ("a text", "unknown", 1), ("0", 0, 1),
]:
    cat(f"not known: {name}", "claim-unknown", {label: value})
for label in [41, 42, 43, 267, 269, 270, 271, 272, 273, 274, 275, 277, 278, 279, 280, 281, 283]:
    cat(f"label {label} of a draft", "cat-label-unknown", {label: 1})
cat("a label of a draft beside the new one", "cat-label-unknown", {270: {3: {1: "/"}}, CATU: {3: {1: "/event1"}}})
cat("where only JWT is taken", "token-malformed", formats=["jwt"])

# URI signing --------------------------------------------------------------------------------------------------------------

SIGNED = {"formats": ["uri-signing"]}


def signed(name, verdict, more=None, without=(), key=SECRET, alg="HS256", kid="hs", headers=None, **terms):
    payload = {"iss": ISSUER, "aud": AUDIENCE, "sub": "viewer-7", "exp": NOW + 300, "cdniuc": r"regex:https://live\.example\.com/event1/.*"}
    payload.update(more or {})
    payload = {name_: value for name_, value in payload.items() if name_ not in without}
    # The library has its own opinion of claims; what is tested here is ours.
    encoded = jwt.api_jws.PyJWS().encode(json.dumps(payload).encode(), key, alg, {"kid": kid, **(headers or {})})
    add(f"uri: {name}", "PyJWT", verdict, encoded, **{**SIGNED, **terms})


def uri_hash(url):
    return "sha-256;" + b64(hashlib.sha256(url.encode()).digest())


signed("a pattern", "ok")
signed("ES256", "ok", key=P256, alg="ES256", kid="es")
signed("EdDSA", "ok", key=ED, alg="EdDSA", kid="ed")
signed("PS256", "ok", key=RSA, alg="PS256", kid="ps")
signed("RS256 by a key for PS256", "alg-refused", key=RSA, alg="RS256", kid="ps")
signed("a key that is not known", "key-unknown", kid="nobody")
signed("another secret", "signature-bad", key=OTHER_SECRET)
signed("the draft's name of a pattern", "ok", {"cdniuc": "uri-regex:https://live.example.com/event1/.*"})
signed("a pattern with anchors", "ok", {"cdniuc": "regex:^https://live.example.com/event1/.*$"})
signed("a pattern for a part", "uri-out-of-scope", {"cdniuc": "regex:/event1/"})
signed("a pattern for the beginning", "uri-out-of-scope", {"cdniuc": "regex:https://live.example.com/event1"})
signed("a pattern of alternatives", "uri-out-of-scope", {"cdniuc": "regex:https://x.test/|main.m3u8"})
signed("a pattern for another host", "uri-out-of-scope", {"cdniuc": "regex:https://other.example.com/.*"})
signed("a pattern for the other scheme", "uri-out-of-scope", {"cdniuc": "regex:http://live.example.com/.*"})
signed("a pattern for a port", "ok", {"cdniuc": "regex:https://live.example.com:8443/.*"}, url="https://live.example.com:8443/event1/a")
signed("a pattern with a class of POSIX", "ok", {"cdniuc": "regex:https://live.example.com/[[:alpha:]]+[0-9]/main.m3u8"})
signed("a pattern for a query", "ok", {"cdniuc": r"regex:https://live.example.com/a\?x=[0-9]+"}, url="https://live.example.com/a?x=12")
signed("a pattern without the query that is there", "uri-out-of-scope", {"cdniuc": "regex:https://live.example.com/a"}, url="https://live.example.com/a?x=12")
signed("a pattern that is none", "token-malformed", {"cdniuc": "regex:("})
signed("a pattern that closes our group", "token-malformed", {"cdniuc": "regex:a)|(.*"})
signed("a pattern with options", "token-malformed", {"cdniuc": "regex:(?s).*"})
signed("a pattern that grows", "token-malformed", {"cdniuc": "regex:((a{100}){100}){100}"})
signed("a pattern of more than 1 KiB", "token-malformed", {"cdniuc": "regex:" + "a" * 1_025})
signed("a hash", "ok", {"cdniuc": "hash:" + uri_hash(URL)})
signed("the draft's name of a hash", "ok", {"cdniuc": "uri-hash:" + uri_hash(URL)})
signed("a hash with a query", "ok", {"cdniuc": "hash:" + uri_hash("https://live.example.com/a?b=2&a=1")}, url="https://live.example.com/a?b=2&a=1")
signed("a hash of another URI", "uri-out-of-scope", {"cdniuc": "hash:" + uri_hash(URL + "x")})
signed("a hash of the URI with another host", "uri-out-of-scope", {"cdniuc": "hash:" + uri_hash("https://other.example.com/event1/main.m3u8")})
signed("a hash that is cut short", "token-malformed", {"cdniuc": "hash:sha-256;AAAA"})
signed("a hash of another kind", "token-malformed", {"cdniuc": "hash:md5;" + b64(hashlib.md5(URL.encode()).digest())})
signed("a container of another kind", "token-malformed", {"cdniuc": "glob:*"})
signed("no container", "token-malformed", {"cdniv": 1}, without=["cdniuc"])
signed("a container that is no text", "token-malformed", {"cdniuc": ["regex:.*"]})
signed("version 1", "ok", {"cdniv": 1})
signed("version 2", "claim-unknown", {"cdniv": 2})
signed("version as a text", "claim-unknown", {"cdniv": "1"})
signed("cdnicrit of what is understood", "ok", {"cdnicrit": "exp, cdniuc,cdniv"})
signed("cdnicrit of what is not", "crit-unknown", {"cdnicrit": "exp,cdnifoo"})
signed("cdnicrit of an encrypted address", "claim-unknown", {"cdnicrit": "cdniip", "cdniip": "e.y.J.h.b"})
signed("cdnicrit empty", "crit-unknown", {"cdnicrit": ""})
signed("cdnicrit a list", "token-malformed", {"cdnicrit": ["exp"]})
signed("an encrypted address", "claim-unknown", {"cdniip": "eyJhbGciOiJkaXIifQ..AAAA.BBBB.CCCC"})
signed("a claim that is not known", "ok", {"cdnifoo": 1})
signed("expired", "token-expired", {"exp": NOW - 60})
signed("not yet", "token-not-yet", {"nbf": NOW + 60})
signed("no exp", "ok", without=["exp"])
signed("exp as a text", "token-malformed", {"exp": str(NOW + 60)})
signed("for somebody else", "audience-mismatch", {"aud": "somebody"})
signed("another issuer", "issuer-unknown", {"iss": "https://elsewhere.test"})
signed("renewal by cookie", "ok", {"cdniets": 60, "cdnistt": 1, "cdnistd": 2})
signed("renewal without a life", "token-malformed", {"cdnistt": 1})
signed("renewal with no life", "token-malformed", {"cdnistt": 1, "cdniets": 0})
signed("a life without renewal", "ok", {"cdniets": 60})
signed("renewal by something else", "claim-unknown", {"cdniets": 60, "cdnistt": 2})
signed("renewal with a fraction", "token-malformed", {"cdniets": 60.5, "cdnistt": 1})
signed("renewal for -1 segments", "token-malformed", {"cdniets": 60, "cdnistt": 1, "cdnistd": -1})
signed("a path beside the container", "token-malformed", {"path": "/event1"})
signed("end of what was paid for", "entitlement-over", {"session_end": NOW - 1})
signed("crit in the header", "crit-unknown", headers={"crit": ["exp"]})
signed("where only JWT is taken", "token-malformed", formats=["jwt"])
plain = jwt.encode({"iss": ISSUER, "aud": AUDIENCE, "exp": NOW + 60}, SECRET, "HS256", {"kid": "hs"})
add("uri: a JWT where only URI signing is taken", "PyJWT", "token-malformed", plain, **SIGNED)
add("uri: a JWT where both are taken", "PyJWT", "ok", plain, formats=["jwt", "uri-signing"])
add("uri: not signed", "hand", "alg-refused", b64(b'{"alg":"none"}') + "." + b64(b'{"cdniuc":"regex:.*"}') + ".", **SIGNED)

# Edge tokens --------------------------------------------------------------------------------------------------------------

EDGE = {"formats": ["hdnts"], "keys": "edge"}


def edge(fields, key=HEX_KEY, salt=None, url=None, algorithm="sha256", prefix=""):
    """The formula: HMAC over the fields with `~` between, then the URL and the salt, which are not in the token."""
    token = "~".join(f"{field}={value}" for field, value in fields)
    source = [token] + ([f"url={url}"] if url else []) + ([f"salt={salt}"] if salt else [])
    try:
        octets = bytes.fromhex(key)
    except ValueError:
        octets = key.encode()
    return f"{prefix}{token}~hmac={hmac.new(octets, '~'.join(source).encode(), algorithm).hexdigest()}"


def hdnts(name, verdict, fields, terms=None, **how):
    add(f"hdnts: {name}", "formula", verdict, edge(fields, **how), **{**EDGE, **(terms or {})})


END = ("exp", NOW + 300)
ACL = ("acl", "/event1/*")
hdnts("a pattern", "ok", [END, ACL])
hdnts("with its name", "ok", [END, ACL], prefix="hdnts=")
hdnts("with another name", "ok", [END, ACL], prefix="__token__=")
hdnts("all fields", "ok", [("ip", "203.0.113.7"), ("st", NOW - 10), END, ACL, ("id", "s1"), ("data", "any{thing}")], {"address": "203.0.113.7"})
hdnts("another address", "address-mismatch", [("ip", "203.0.113.7"), END, ACL], {"address": "203.0.113.8"})
hdnts("an escaped IPv6 address", "ok", [("ip", "2001%3adb8%3a%3a7"), END, ACL], {"address": "2001:db8::7"})
hdnts("an address that is none", "token-malformed", [("ip", "anywhere"), END, ACL])
hdnts("expired", "token-expired", [("exp", NOW - 6), ACL])
hdnts("not yet", "token-not-yet", [("st", NOW + 60), END, ACL])
hdnts("no end", "token-malformed", [ACL])
hdnts("an end with a fraction", "token-malformed", [("exp", "1720000300.5"), ACL])
hdnts("an end with a sign", "token-malformed", [("exp", "+1720000300"), ACL])
hdnts("an end beyond 2^53", "token-malformed", [("exp", 2**53 + 1), ACL])
hdnts("another key", "signature-bad", [END, ACL], key="00" * 32)
hdnts("a key that is not hex", "ok", [END, ACL], {"keys": "edge, not hex"}, key="a secret that was never written in hexadecimal")
hdnts("no secret among the keys", "key-unknown", [END, ACL], {"keys": "public alone"})
hdnts("salt", "ok", [END, ACL], {"salt": "pepper"}, salt="pepper")
hdnts("another salt", "signature-bad", [END, ACL], {"salt": "pepper"}, salt="sugar")
hdnts("salt that is not configured", "signature-bad", [END, ACL], salt="pepper")
hdnts("salt that is missing", "signature-bad", [END, ACL], {"salt": "pepper"})
hdnts("SHA-1", "alg-refused", [END, ACL], algorithm="sha1")
hdnts("SHA-1 where it is taken", "ok", [END, ACL], {"sha1": True}, algorithm="sha1")
hdnts("MD5", "alg-refused", [END, ACL], {"sha1": True}, algorithm="md5")
hdnts("SHA-512", "token-malformed", [END, ACL], algorithm="sha512")
hdnts("a wildcard for another event", "uri-out-of-scope", [END, ("acl", "/event2/*")])
hdnts("a wildcard without the slash", "ok", [END, ("acl", "/event1*")])
hdnts("a question mark", "ok", [END, ("acl", "/event?/main.m3u8")])
hdnts("a question mark for two", "uri-out-of-scope", [END, ("acl", "/event?/main.m3u8")], {"url": "https://live.example.com/event10/main.m3u8"})
hdnts("several patterns", "ok", [END, ("acl", "/a/*!/event1/*!/b")])
hdnts("several patterns, none", "uri-out-of-scope", [END, ("acl", "/a/*!/b")])
hdnts("a pattern for the whole path", "uri-out-of-scope", [END, ("acl", "/event1")])
hdnts("an escaped pattern", "ok", [END, ("acl", "%2fevent1%2f*")])
hdnts("a pattern with an escaped letter", "ok", [END, ("acl", "/%65vent1/*")])
hdnts("everything", "uri-out-of-scope", [END, ("acl", "/*")])
hdnts("everything where it is taken", "ok", [END, ("acl", "/*")], {"any": True})
hdnts("everything in other words", "uri-out-of-scope", [END, ("acl", "/a!/?*")])
hdnts("a wildcard before the first slash", "token-malformed", [END, ("acl", "*")], {"any": True})
hdnts("a wildcard before the first slash, and more", "token-malformed", [END, ("acl", "*/event1/*")], {"any": True})
hdnts("a pattern with dot segments", "token-malformed", [END, ("acl", "/event2/../event1/*")])
hdnts("a pattern with an encoded slash", "token-malformed", [END, ("acl", "/event1%2F*")])
hdnts("an empty pattern", "token-malformed", [END, ("acl", "")])
hdnts("the query is not matched", "uri-out-of-scope", [END, ("acl", "/*/event1")], {"url": "https://live.example.com/other?x=/event1"})
hdnts("one URL", "ok", [END], url="/event1/main.m3u8")
hdnts("one URL, escaped", "ok", [END], url="%2fevent1%2fmain.m3u8")
hdnts("one URL with its query", "ok", [END], {"url": "https://live.example.com/a?x=1"}, url="/a?x=1")
hdnts("one URL, asked for another", "signature-bad", [END], {"url": "https://live.example.com/event1/720p.m3u8"}, url="/event1/main.m3u8")
hdnts("one URL in the token", "ok", [END, ("url", "/event1/main.m3u8")])
hdnts("one URL in the token, asked for another", "uri-out-of-scope", [END, ("url", "/event1/main.m3u8")], {"url": "https://live.example.com/event1/720p.m3u8"})
hdnts("one URL in the token, asked for a child", "uri-out-of-scope", [END, ("url", "/event1")])
hdnts("url and acl", "token-malformed", [END, ("url", "/a"), ACL])
hdnts("a field twice", "token-malformed", [END, ACL, ("exp", NOW + 9000)])
hdnts("a field that is not known", "claim-unknown", [END, ACL, ("geo", "SE")])
hdnts("a field without a name", "claim-unknown", [END, ACL, ("", "")])
hdnts("only a hash", "token-malformed", [])
good = edge([END, ACL])
for name, token, verdict in [
    ("a longer end than was signed", good.replace(str(NOW + 300), str(NOW + 900)), "signature-bad"),
    ("a wider pattern than was signed", good.replace("/event1/", "/"), "signature-bad"),
    ("something behind the hash", good + "~exp=1", "token-malformed"),
    ("two hashes", good + "~hmac=" + "0" * 64, "token-malformed"),
    ("a hash in upper case", good[:-64] + good[-64:].upper(), "ok"),
    ("a hash that is no hex", good[:-1] + "x", "token-malformed"),
    ("a hash cut short", good[:-2], "token-malformed"),
    ("an empty hash", good[:-64], "token-malformed"),
    ("white space", good.replace("~", " ~"), "token-malformed"),
]:
    add(f"hdnts: {name}", "hand", verdict, token, **EDGE)
add("hdnts: larger than 8 KiB", "formula", "token-too-large", edge([END, ACL, ("data", "x" * 8192)]), **EDGE)
add("hdnts: where only JWT is taken", "formula", "token-malformed", good, **{**EDGE, "formats": ["jwt"]})

# ----------------------------------------------------------------------------------------------------------------------------

keys = ",\n".join(f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in KEYSETS.items())
lines = ",\n".join(f"  {json.dumps(case, ensure_ascii=False)}" for case in cases)
out = pathlib.Path(__file__).with_name("formats_python.json")
out.write_text(f'{{"now": {NOW}, "url": "{URL}", "keys": {{\n{keys}\n}}, "cases": [\n{lines}\n]}}\n')
print(len(cases), "cases")
