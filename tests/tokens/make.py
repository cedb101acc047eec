#!/usr/bin/env python3
"""Makes python.json: tokens by PyJWT, and by hand what no library would make.

Each case: a token, the keys and terms it is judged by, and the verdict: "ok" or the word of the reason. The keys are made
anew at every run and nothing private of them is written, but the shared secrets, which open nothing but this table.
Run: pip install PyJWT cryptography; tests/tokens/make.py
"""

import base64
import datetime
import hashlib
import hmac
import json
import pathlib
import zlib

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.x509.oid import NameOID

NOW = 1_720_000_000
ISSUER, AUDIENCE = "https://issuer.test", "weir-edge"
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
P384_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973

cases, keysets = [], {}


def b64(octets):
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def number(value, length=None):
    return b64(value.to_bytes(length or (value.bit_length() + 7) // 8, "big"))


# Keys -------------------------------------------------------------------------------------------------------------------

RSA, RSA_PSS, RSA_OTHER = (rsa.generate_private_key(65537, 2048) for _ in range(3))
RSA_WEAK = rsa.generate_private_key(65537, 1024)
P256, P256_OTHER = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
P384 = ec.generate_private_key(ec.SECP384R1())
P521 = ec.generate_private_key(ec.SECP521R1())
K256 = ec.generate_private_key(ec.SECP256K1())
ED = ed25519.Ed25519PrivateKey.generate()
SECRET = {bits: f"test secret for HS{bits}, opens nothing: ".encode() + b"x" * 30 for bits in (256, 384, 512)}


def rsa_jwk(key, **members):
    numbers = key.public_key().public_numbers()
    return {"kty": "RSA", "n": number(numbers.n), "e": number(numbers.e), **members}


def ec_jwk(key, **members):
    numbers = key.public_key().public_numbers()
    length = (key.key_size + 7) // 8
    curve = {256: "P-256", 384: "P-384", 521: "P-521"}[key.key_size]
    if isinstance(key.curve, ec.SECP256K1):
        curve = "secp256k1"
    return {"kty": "EC", "crv": curve, "x": number(numbers.x, length), "y": number(numbers.y, length), **members}


def ed_jwk(key, **members):
    raw = key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return {"kty": "OKP", "crv": "Ed25519", "x": b64(raw), **members}


def pem(key):
    return key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    ).decode()


def der(key, form=serialization.PublicFormat.SubjectPublicKeyInfo):
    return key.public_key().public_bytes(serialization.Encoding.DER, form)


def certificate(key):
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "issuer.test")])
    moment = datetime.datetime(2024, 1, 1)
    built = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    built = built.serial_number(1).not_valid_before(moment).not_valid_after(moment + datetime.timedelta(days=1))
    signed = built.sign(key, None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.PEM).decode()


keysets["main"] = {
    "jwks": {
        "keys": [
            rsa_jwk(RSA, kid="rs256", alg="RS256", use="sig"),
            rsa_jwk(RSA_PSS, kid="ps256", alg="PS256", key_ops=["verify"]),
            ec_jwk(P256, kid="es256", alg="ES256"),
            ec_jwk(P384, kid="es384"),
            ed_jwk(ED, kid="eddsa", alg="EdDSA"),
            {"kty": "oct", "kid": "hs256", "alg": "HS256", "k": b64(SECRET[256])},
            {"kty": "oct", "kid": "hs384", "alg": "HS384", "k": b64(SECRET[384])},
            {"kty": "oct", "kid": "hs512", "alg": "HS512", "k": b64(SECRET[512])},
            # What is passed over.
            {"kty": "oct", "kid": "short256", "alg": "HS256", "k": b64(b"x" * 31)},
            {"kty": "oct", "kid": "short512", "alg": "HS512", "k": b64(b"x" * 63)},
            rsa_jwk(RSA_WEAK, kid="rsa1024", alg="RS256"),
            rsa_jwk(RSA_OTHER, kid="enc", alg="RS256", use="enc"),
            rsa_jwk(RSA_OTHER, kid="encrypt", alg="RS256", key_ops=["encrypt"]),
            rsa_jwk(RSA_OTHER, kid="rs384", alg="RS384"),
            rsa_jwk(RSA_OTHER, kid="oaep", alg="RSA-OAEP"),
            ec_jwk(P521, kid="es512", alg="ES512"),
            ec_jwk(K256, kid="es256k", alg="ES256K"),
            {"kty": "OKP", "crv": "X25519", "kid": "x25519", "x": b64(b"x" * 32)},
            {"kty": "XYZ", "kid": "new"},
        ]
    }
}
keysets["ed25519"] = {"jwks": {"keys": [ed_jwk(ED, kid="eddsa", alg="Ed25519")]}}
keysets["rs384"] = {"jwks": {"keys": [rsa_jwk(RSA_OTHER, kid="rs384", alg="RS384")]}, "algorithms": ["RS384"]}
keysets["only es256 may be"] = {**keysets["main"], "algorithms": ["ES256"]}
keysets["ps256 by configuration"] = {"jwks": {"keys": [rsa_jwk(RSA, kid="a")]}, "algorithms": ["PS256"]}
keysets["pem rsa"] = {"pem": pem(RSA)}
keysets["pem rsa, ps256"] = {"pem": pem(RSA), "algorithms": ["PS256"]}
keysets["pem rsa pkcs1"] = {
    "pem": RSA.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.PKCS1).decode()
}
keysets["pem p256"] = {"pem": pem(P256)}
keysets["pem p384"] = {"pem": pem(P384)}
keysets["pem ed25519"] = {"pem": pem(ED)}
keysets["pem, two keys"] = {"pem": pem(P256_OTHER) + pem(P256)}
keysets["certificate rsa"] = {"pem": certificate(RSA)}
keysets["certificate p256"] = {"pem": certificate(P256)}
keysets["certificate ed25519"] = {"pem": certificate(ED)}
keysets["secret"] = {"secret": SECRET[256].decode()}
keysets["secret, hs512"] = {"secret": SECRET[512].decode(), "algorithms": ["HS512"]}
keysets["four secrets"] = {
    "jwks": {"keys": [{"kty": "oct", "alg": "HS256", "k": b64(bytes([65 + n]) * 32)} for n in range(5)]}
}
keysets["keys without kid"] = {"jwks": {"keys": [ec_jwk(P256_OTHER), ec_jwk(P256), rsa_jwk(RSA)]}}
keysets["empty"] = {"jwks": {"keys": []}}

# Tokens -----------------------------------------------------------------------------------------------------------------


def sign(alg, key, message):
    if alg.startswith("HS"):
        return hmac.new(key, message, getattr(hashlib, f"sha{alg[2:]}")).digest()
    if alg.startswith("RS"):
        return key.sign(message, padding.PKCS1v15(), getattr(hashes, f"SHA{alg[2:]}")())
    if alg.startswith("PS"):
        hash_ = getattr(hashes, f"SHA{alg[2:]}")()
        return key.sign(message, padding.PSS(padding.MGF1(hash_), hash_.digest_size), hash_)
    if alg.startswith("ES"):
        hash_ = hashes.SHA384() if alg == "ES384" else hashes.SHA256()
        r, s = decode_dss_signature(key.sign(message, ec.ECDSA(hash_)))
        length = (key.key_size + 7) // 8
        return r.to_bytes(length, "big") + s.to_bytes(length, "big")
    return key.sign(message)


def part(value):
    if isinstance(value, bytes):
        return b64(value)
    return b64((value if isinstance(value, str) else json.dumps(value)).encode())


def hand(header, payload, alg="HS256", key=SECRET[256]):
    """Signs any octets as header and payload."""
    message = f"{part(header)}.{part(payload)}"
    return f"{message}.{b64(sign(alg, key, message.encode()))}"


def claims(**more):
    said = {"iss": ISSUER, "aud": AUDIENCE, "sub": "viewer-7", "exp": NOW + 300, "iat": NOW - 10, **more}
    return {name: value for name, value in said.items() if value is not ...}


HEADER = {"alg": "HS256", "typ": "JWT", "kid": "hs256"}


def case(name, token, verdict, by="hand", keys="main", **terms):
    assert token is not None and not any(other["name"] == name for other in cases), name
    cases.append({"name": name, "by": by, "keys": keys, "verdict": verdict, **terms, "token": token})


def pyjwt(name, verdict, payload=None, alg="HS256", key=SECRET[256], kid="hs256", headers=None, **terms):
    headers = {**({"kid": kid} if kid is not None else {}), **(headers or {})}
    token = jwt.encode(payload or claims(), key, algorithm=alg, headers=headers)
    case(name, token, verdict, by="PyJWT", **terms)


def made(name, verdict, payload=None, header=None, **terms):
    """A token with a right signature by the secret for HS256, made by hand."""
    case(name, hand(header if header is not None else HEADER, claims() if payload is None else payload), verdict, **terms)


def raw(text):
    """Claims as JSON text, with more members behind them."""
    return json.dumps(claims())[:-1] + ", " + text + "}"


# Every algorithm, by keys in every form.
ALL = [
    ("HS256", SECRET[256]), ("HS384", SECRET[384]), ("HS512", SECRET[512]), ("RS256", RSA), ("PS256", RSA_PSS),
    ("ES256", P256), ("ES384", P384), ("EdDSA", ED),
]
for alg, key in ALL:
    pyjwt(f"{alg}: its key", "ok", alg=alg, key=key, kid=alg.lower())
    pyjwt(f"{alg}: its key, not named", "ok", alg=alg, key=key, kid=None)
    token = jwt.encode(claims(), key, algorithm=alg, headers={"kid": alg.lower()})
    head, body, signature = token.split(".")
    case(f"{alg}: another payload under the signature", f"{head}.{part(claims(sub='other'))}.{signature}", "signature-bad")
    case(f"{alg}: signature cut off", f"{head}.{body}.", "signature-bad")
    octets = base64.urlsafe_b64decode(signature + "==")
    case(f"{alg}: signature cut short", f"{head}.{body}.{b64(octets[:-1])}", "signature-bad")
    case(f"{alg}: signature too long", f"{head}.{body}.{b64(octets + bytes(1))}", "signature-bad")
    case(f"{alg}: signature of zeros", f"{head}.{body}.{b64(bytes(len(octets)))}", "signature-bad")
    case(f"{alg}: signature of ones", f"{head}.{body}.{b64(bytes([255]) * len(octets))}", "signature-bad")
    flipped = bytes([octets[0] ^ 1]) + octets[1:]
    case(f"{alg}: one bit of the signature", f"{head}.{body}.{b64(flipped)}", "signature-bad")
    for other, _ in ALL:
        if other[:2] != alg[:2] or len({alg, other} & {"HS256", "HS512"}) == 2:
            if (ALL.index((alg, key)) * 3 + len(other)) % 4 == 0:
                forged = hand({"alg": other, "kid": alg.lower()}, claims(), alg, key)
                case(f"{alg} key, {other} in the header", forged, "alg-refused")

pyjwt("RS256: another key", "signature-bad", alg="RS256", key=RSA_OTHER, kid="rs256")
pyjwt("ES256: another key", "signature-bad", alg="ES256", key=P256_OTHER, kid="es256")
pyjwt("EdDSA: another key", "signature-bad", alg="EdDSA", key=ed25519.Ed25519PrivateKey.generate(), kid="eddsa")
pyjwt("HS256: another secret", "signature-bad", key=b"y" * 32)
pyjwt("PS256 with the key for RS256", "alg-refused", alg="PS256", key=RSA, kid="rs256")
pyjwt("RS256 with the key for PS256", "alg-refused", alg="RS256", key=RSA_PSS, kid="ps256")
pyjwt("RS384, which nobody named", "key-unknown", alg="RS384", key=RSA_OTHER, kid="rs384")
pyjwt("RS384, which the configuration names", "ok", alg="RS384", key=RSA_OTHER, kid="rs384", keys="rs384")
pyjwt("RS512 with the key for RS256", "alg-refused", alg="RS512", key=RSA, kid="rs256")
pyjwt("PS384 with the key for PS256", "alg-refused", alg="PS384", key=RSA_PSS, kid="ps256")
pyjwt("ES512", "alg-refused", alg="ES512", key=P521, kid="es512")
pyjwt("ES256K", "alg-refused", alg="ES256K", key=K256, kid="es256k")
case("RS1", hand({"alg": "RS1", "kid": "rs256"}, claims(), "RS256", RSA), "alg-refused")
pyjwt("RSA of 1024 bits", "key-unknown", alg="RS256", key=RSA_WEAK, kid="rsa1024")
pyjwt("a key for encryption", "key-unknown", alg="RS256", key=RSA_OTHER, kid="enc")
pyjwt("a key whose operations lack verify", "key-unknown", alg="RS256", key=RSA_OTHER, kid="encrypt")
case("HS256 with a short secret", hand({"alg": "HS256", "kid": "short256"}, claims(), key=b"x" * 31), "key-unknown")
case("HS512 with a short secret", hand({"alg": "HS512", "kid": "short512"}, claims(), "HS512", b"x" * 63), "key-unknown")
case("Ed25519 by its newer name", hand({"alg": "Ed25519", "kid": "eddsa"}, claims(), "EdDSA", ED), "ok")
pyjwt("EdDSA where the key says Ed25519", "ok", alg="EdDSA", key=ED, kid="eddsa", keys="ed25519")
case("Ed25519 where the key says Ed25519", hand({"alg": "Ed25519"}, claims(), "EdDSA", ED), "ok", keys="ed25519")
pyjwt("an algorithm that is not among those configured", "key-unknown", keys="only es256 may be")
pyjwt("an algorithm that is among those configured", "ok", alg="ES256", key=P256, kid="es256", keys="only es256 may be")
pyjwt("PS256 because the configuration says so", "ok", alg="PS256", key=RSA, kid="a", keys="ps256 by configuration")
pyjwt("RS256 though the configuration says PS256", "alg-refused", alg="RS256", key=RSA, kid="a",
      keys="ps256 by configuration")
for name, alg, key in [
    ("pem rsa", "RS256", RSA), ("pem rsa, ps256", "PS256", RSA), ("pem rsa pkcs1", "RS256", RSA), ("pem p256", "ES256", P256),
    ("pem p384", "ES384", P384), ("pem ed25519", "EdDSA", ED), ("pem, two keys", "ES256", P256),
    ("pem, two keys", "ES256", P256_OTHER), ("certificate rsa", "RS256", RSA), ("certificate p256", "ES256", P256),
    ("certificate ed25519", "EdDSA", ED), ("secret", "HS256", SECRET[256]), ("secret, hs512", "HS512", SECRET[512]),
    ("keys without kid", "ES256", P256), ("keys without kid", "RS256", RSA),
]:
    title = f"{alg} by a key from {name}" + (" (the other)" if key is P256_OTHER else "")
    pyjwt(title, "ok", alg=alg, key=key, kid=None, keys=name)
pyjwt("a kid, and a key from a file that has none", "ok", alg="ES256", key=P256, kid="whatever", keys="pem p256")
pyjwt("ES256 by a key from pem p256 of another issuer", "signature-bad", alg="ES256", key=P256_OTHER, kid=None, keys="pem p256")
pyjwt("HS256 where there is no such key", "alg-refused", kid=None, keys="pem p256")
pyjwt("HS512 with a secret for HS256", "alg-refused", alg="HS512", kid=None, keys="secret")
pyjwt("HS256 with a secret for HS512", "alg-refused", key=SECRET[512], kid=None, keys="secret, hs512")
for n in range(5):
    pyjwt(f"no kid: secret {n + 1} of five", "ok" if n < 4 else "signature-bad", key=bytes([65 + n]) * 32, kid=None,
          keys="four secrets")
pyjwt("a set without keys", "key-unknown", keys="empty")
pyjwt("a set without keys, no kid", "key-unknown", kid=None, keys="empty")

# Key confusion (RFC 8725 §2.1, §3.1): the public key as a secret.
for kid, key in [("rs256", RSA), ("es256", P256)]:
    jwk = json.dumps(rsa_jwk(key) if key is RSA else ec_jwk(key)).encode()
    text = pem(key).encode()
    for form, secret in {
        "PEM": text, "PEM without the last newline": text.rstrip(b"\n"), "PEM with CRLF": text.replace(b"\n", b"\r\n"),
        "the body of PEM": b"".join(text.splitlines()[1:-1]), "DER": der(key), "JWK": jwk,
    }.items():
        for named in (True, False) if form.startswith("PEM") else (True,):
            head = {"alg": "HS256", "typ": "JWT", **({"kid": kid} if named else {})}
            title = f"HMAC with the public key {kid} as {form}" + ("" if named else ", not named")
            case(title, hand(head, claims(), "HS256", secret), "alg-refused" if named else "signature-bad")
    case(f"HMAC with the public key {kid} as PEM, by a key file", hand({"alg": "HS256"}, claims(), "HS256", text),
         "alg-refused", keys="pem rsa" if key is RSA else "pem p256")
case("HMAC with the modulus", hand({"alg": "HS256", "kid": "rs256"}, claims(), "HS256",
     base64.urlsafe_b64decode(rsa_jwk(RSA)["n"] + "==")), "alg-refused")
case("HMAC with an empty key", hand(HEADER, claims(), "HS256", b""), "signature-bad")
case("HMAC with a NUL", hand(HEADER, claims(), "HS256", b"\0"), "signature-bad")

# alg none, in all spellings, and other values of alg.
for alg in ["none", "None", "NONE", "nOnE", "none ", " none", "none\0", "nоne"]:
    for signature in ("", b64(b"x" * 32)) if alg == "none" else ("",):
        title = f"alg {alg!r}" + (", with a signature" if signature else "")
        case(title, f"{part({'alg': alg, 'typ': 'JWT'})}.{part(claims())}.{signature}", "alg-refused")
case("alg none, with the kid of a key", f"{part({'alg': 'none', 'kid': 'hs256'})}.{part(claims())}.", "alg-refused")
case("alg none, two parts", f"{part({'alg': 'none'})}.{part(claims())}", "token-malformed")
for alg in ["", "hs256", "Hs256", "HS256 ", "HS-256", "HMAC", "SHA256", "dir", "A128KW", "RSA-OAEP", "es256", "rs256", "EDDSA",
            "Ed448", "HS1", "HS0", "PBES2-HS256+A128KW"]:
    made(f"alg {alg!r}", "alg-refused", header={"alg": alg, "typ": "JWT", "kid": "hs256"})
for alg in [None, 1, True, ["HS256"], {"alg": "HS256"}]:
    made(f"alg is {json.dumps(alg)}", "alg-refused", header={"alg": alg, "typ": "JWT", "kid": "hs256"})
made("no alg", "alg-refused", header={"typ": "JWT", "kid": "hs256"})
made("Alg in place of alg", "alg-refused", header={"Alg": "HS256", "kid": "hs256"})

# kid: an opaque text, compared.
for kid in ["", "HS256", "hs256 ", "hs256\0", "../../../../dev/null", "/dev/null", "..%2f..%2fdev%2fnull",
            "' UNION SELECT 'x'; --", "hs256' OR '1'='1", "https://attacker.test/key", "file:///etc/passwd",
            "hs256|/usr/bin/id", "$(id)", "{{7*7}}", "x" * 128, "hs256\nes256", "*", "%"]:
    secret = b"" if "dev" in kid else SECRET[256]
    case(f"kid {kid[:30]!r}", hand({"alg": "HS256", "kid": kid}, claims(), "HS256", secret), "key-unknown")
for kid in [None, 1, True, ["hs256"], {"kid": "hs256"}, 1.5]:
    made(f"kid is {json.dumps(kid)}", "token-malformed", header={"alg": "HS256", "kid": kid})
made("kid of 129 characters", "token-malformed", header={"alg": "HS256", "kid": "x" * 129})
made("kid by escapes", "ok", header='{"alg":"HS256","kid":"\\u0068s256"}')

# crit and b64 (RFC 7515 §4.1.11, RFC 7797).
for title, crit, more in [
    ("empty", [], {}), ("a text", "exp", {"exp": 1}), ("null", None, {}), ("a number", 1, {}), ("an object", {}, {}),
    ("unknown", ["exp"], {"exp": NOW}), ("unknown, absent", ["exp"], {}), ("twice", ["x", "x"], {"x": 1}),
    ("not texts", [1], {"1": 1}), ("a null in the list", [None], {}), ("b64", ["b64"], {"b64": True}),
    ("b64 absent", ["b64"], {}), ("alg", ["alg"], {}), ("kid", ["kid"], {}), ("an empty name", [""], {"": 1}),
    ("http://example.com/UNDEFINED", ["http://example.com/UNDEFINED"], {"http://example.com/UNDEFINED": True}),
]:
    made(f"crit {title}", "crit-unknown", header={**HEADER, "crit": crit, **more})
message = f"{part({**HEADER, 'b64': False, 'crit': ['b64']})}.{json.dumps(claims())}"
case("b64 false, payload as it is", f"{message}.{b64(sign('HS256', SECRET[256], message.encode()))}", "token-malformed")
made("b64 false, payload in base64url", "crit-unknown", header={**HEADER, "b64": False, "crit": ["b64"]})
made("b64 false, not in crit", "crit-unknown", header={**HEADER, "b64": False})

# Keys that a token brings itself are not looked at.
attacker = rsa.generate_private_key(65537, 2048)
for title, more in [
    ("jwk", {"jwk": rsa_jwk(attacker, alg="RS256")}), ("jku", {"jku": "https://attacker.test/jwks.json"}),
    ("x5u", {"x5u": "https://attacker.test/chain.pem"}),
    ("x5c", {"x5c": [base64.b64encode(b"".join(certificate(attacker).encode().splitlines()[1:-1])).decode()]}),
]:
    for kid, verdict in (("rs256", "signature-bad"), ("attacker", "key-unknown"), (None, "signature-bad")):
        head = {"alg": "RS256", "typ": "JWT", **more, **({"kid": kid} if kid else {})}
        title_ = f"{title} of an attacker, kid {kid}"
        case(title_, hand(head, claims(), "RS256", attacker), verdict)
    case(f"{title} beside a right signature", hand({"alg": "RS256", "kid": "rs256", **more}, claims(), "RS256", RSA), "ok")
case("jwk with a private part", hand({"alg": "RS256", "kid": "rs256", "jwk": {"kty": "RSA", "d": "AQAB"}}, claims(),
     "RS256", attacker), "signature-bad")

# typ, cty, zip, enc, and members that nobody knows.
for typ in ["JWT", "jwt", "Jwt", "application/jwt", "application/JWT", "APPLICATION/JWT"]:
    made(f"typ {typ}", "ok", header={**HEADER, "typ": typ})
for typ in ["", "JWS", "JOSE", "JOSE+JSON", "at+jwt", "weir+jwt", "dpop+jwt", "application/", "text/jwt", "JWT ", "application/application/jwt"]:
    made(f"typ {typ!r}", "type-mismatch", header={**HEADER, "typ": typ})
for typ in [None, 1, ["JWT"]]:
    made(f"typ is {json.dumps(typ)}", "token-malformed", header={**HEADER, "typ": typ})
made("no typ", "ok", header={"alg": "HS256", "kid": "hs256"})
for typ, verdict in [("weir+jwt", "ok"), ("Weir+JWT", "ok"), ("application/weir+jwt", "ok"), ("JWT", "type-mismatch"),
                     ("at+jwt", "type-mismatch"), (None, "type-mismatch")]:
    head = {"alg": "HS256", "kid": "hs256", **({"typ": typ} if typ else {})}
    made(f"typ {typ} where weir+jwt is configured", verdict, header=head, token_type="weir+jwt")
for cty in ["JWT", "jwt", "application/jwt"]:
    inner = hand(HEADER, claims())
    made(f"nested, cty {cty}", "token-malformed", payload=inner.encode(), header={**HEADER, "cty": cty})
made("cty JWT, payload of claims", "token-malformed", header={**HEADER, "cty": "JWT"})
made("nested, without cty", "token-malformed", payload=hand(HEADER, claims()).encode())
made("nested as a JSON text", "token-malformed", payload=json.dumps(hand(HEADER, claims())))
made("cty json", "ok", header={**HEADER, "cty": "json"})
made("zip, compressed", "token-malformed", payload=zlib.compress(json.dumps(claims()).encode()), header={**HEADER, "zip": "DEF"})
made("zip, not compressed", "token-malformed", header={**HEADER, "zip": "DEF"})
made("enc in the header", "token-malformed", header={**HEADER, "enc": "A128GCM"})
made("unknown members of the header", "ok", header={**HEADER, "x": 1, "trace": {"a": [1]}, "nonce": "n", "iat": "yesterday"})
made("exp in the header alone", "token-malformed", payload=claims(exp=...), header={**HEADER, "exp": NOW + 300})

# Duplicate members.
for name, value in [("alg", "none"), ("alg", "HS256"), ("kid", "hs256"), ("typ", "JWT"), ("crit", [])]:
    made(f"{name} twice in the header ({value})", "token-malformed", header=json.dumps(HEADER)[:-1] + f', "{name}": {json.dumps(value)}, "{name}": {json.dumps(value)}}}')
for text, title in [
    (f'"exp": {NOW + 9999}', "exp twice"), ('"sub": "admin"', "sub twice"), ('"aud": "weir-edge"', "aud twice"), ('"iss": "https://issuer.test"', "iss twice"),
    ('"path": "/", "path": "/live"', "path twice"), ('"\\u0065xp": 1', "exp twice, by an escape"), ('"x": {"a": 1, "a": 1}', "twice in an object"),
    ('"x": [[{"a": 1, "b": 2, "a": 1}]]', "twice in a list"), ('"x": 1, "x": 1', "an unknown claim twice"),
]:
    made(title, "token-malformed", payload=raw(text))
made("names that differ in case", "ok", payload=raw('"Exp": 1, "EXP": "no", "Sub": 1'))

# Moments (RFC 7519 §2, §4.1.4).
FAR = 1 << 53
for title, exp, verdict in [
    ("now", NOW, "ok"), ("now + 1", NOW + 1, "ok"), ("now - 4", NOW - 4, "ok"), ("now - 5, the end of the leeway", NOW - 5, "token-expired"),
    ("now - 6", NOW - 6, "token-expired"), ("long ago", 1, "token-expired"), ("zero", 0, "token-expired"), ("a fraction", NOW + 10.75, "ok"),
    ("a fraction within the leeway", NOW - 4.5, "token-expired"), ("a fraction at its end", NOW - 3.5, "ok"), ("2^53", FAR, "ok"),
]:
    pyjwt(f"exp {title}", verdict, claims(exp=exp))
pyjwt("exp now - 5, leeway of 60", "ok", claims(exp=NOW - 5), leeway=60)
pyjwt("exp now - 60, leeway of 60", "token-expired", claims(exp=NOW - 60), leeway=60)
pyjwt("exp now, no leeway", "token-expired", claims(exp=NOW), leeway=0)
pyjwt("exp now + 1, no leeway", "ok", claims(exp=NOW + 1), leeway=0)
made("no exp", "token-malformed", payload=claims(exp=...))
made("Exp in place of exp", "token-malformed", payload=claims(exp=..., Exp=NOW + 300))
for name in ("exp", "nbf", "iat"):
    said = {key: value for key, value in claims().items() if key != name}
    text = json.dumps(said)[:-1]
    for value in [f'"{NOW + 300}"', '""', '"never"', '"2030-01-01T00:00:00Z"', "null", "true", f"[{NOW + 300}]", f'{{"t":{NOW}}}', "-1", "-0.5", "-1e300",
                  "NaN", "Infinity", "-Infinity", "1e400", "1e300", str(FAR + 1), str(1 << 64), "1" + "0" * 400, "0x6684f3b0", "01720000000", "1_720_000_000"]:
        made(f"{name}: {value[:24]}", "token-malformed", payload=f'{text}, "{name}": {value}}}')
for value in ["1.72000003e9", "1720000030.0", "1720000030.000000001", "172000003E1"]:
    made(f"exp: {value}", "ok", payload=json.dumps(claims(exp=...))[:-1] + f', "exp": {value}}}')
for title, nbf, verdict in [
    ("long ago", 1, "ok"), ("zero", 0, "ok"), ("now", NOW, "ok"), ("now + 5, the leeway", NOW + 5, "ok"), ("now + 6", NOW + 6, "token-not-yet"),
    ("now + 5.1", NOW + 5.1, "token-not-yet"), ("now + 4.9", NOW + 4.9, "ok"), ("tomorrow", NOW + 86_400, "token-not-yet"), ("2^53", FAR, "token-not-yet"),
]:
    pyjwt(f"nbf {title}", verdict, claims(nbf=nbf, exp=FAR))
for title, iat, verdict in [
    ("absent", ..., "ok"), ("zero", 0, "ok"), ("now", NOW, "ok"), ("now + 5, the leeway", NOW + 5, "ok"), ("now + 5.9", NOW + 5.9, "ok"),
    ("now + 6", NOW + 6, "token-not-yet"), ("tomorrow", NOW + 86_400, "token-not-yet"), ("after exp", NOW + 4, "ok"),
]:
    pyjwt(f"iat {title}", verdict, claims(iat=iat, exp=NOW + 3))
pyjwt("nbf after exp", "token-not-yet", claims(nbf=NOW + 400))
pyjwt("expired and for somebody else", "token-expired", claims(exp=NOW - 400, aud="other"))
pyjwt("exp at the longest life", "ok", claims(exp=NOW + 300), max_lifetime=300)
pyjwt("exp above the longest life", "token-lives-too-long", claims(exp=NOW + 301), max_lifetime=300)
pyjwt("exp far above the longest life", "token-lives-too-long", claims(exp=FAR), max_lifetime=86_400)

# Issuer, audience, subject.
for title, iss, verdict in [
    ("absent", ..., "issuer-unknown"), ("another", "https://other.test", "issuer-unknown"), ("with a slash", ISSUER + "/", "issuer-unknown"),
    ("in capitals", ISSUER.upper(), "issuer-unknown"), ("empty", "", "issuer-unknown"), ("longer", ISSUER + ".attacker.test", "issuer-unknown"),
    ("with a blank", ISSUER + " ", "issuer-unknown"), ("http", ISSUER.replace("https", "http"), "issuer-unknown"), ("a port", ISSUER + ":443", "issuer-unknown"),
    ("a NUL", ISSUER + "\0", "issuer-unknown"),
    ("null", None, "token-malformed"), ("a number", 1, "token-malformed"), ("a list", [ISSUER], "token-malformed"), ("an object", {}, "token-malformed"),
    ("true", True, "token-malformed"),
]:
    made(f"iss {title}", verdict, payload=claims(iss=iss))
made("iss, where none is configured", "ok", payload=claims(iss="https://other.test"), issuers=[])
made("no iss, where none is configured", "ok", payload=claims(iss=...), issuers=[])
made("the second of two issuers", "ok", payload=claims(iss="https://two.test"), issuers=[ISSUER, "https://two.test"])
for title, aud, verdict in [
    ("absent", ..., "audience-mismatch"), ("another", "other", "audience-mismatch"), ("a list with ours", ["other", AUDIENCE], "ok"), ("a list of ours", [AUDIENCE], "ok"),
    ("a list without ours", ["other", "another"], "audience-mismatch"), ("an empty list", [], "audience-mismatch"), ("empty", "", "audience-mismatch"),
    ("a list with an empty text", [""], "audience-mismatch"), ("in capitals", AUDIENCE.upper(), "audience-mismatch"), ("longer", AUDIENCE + "2", "audience-mismatch"),
    ("shorter", AUDIENCE[:-1], "audience-mismatch"), ("ours within a text", f"other {AUDIENCE}", "audience-mismatch"), ("with a comma", f"other,{AUDIENCE}", "audience-mismatch"),
    ("with a blank", AUDIENCE + " ", "audience-mismatch"), ("ours twice", [AUDIENCE, AUDIENCE], "ok"),
    ("null", None, "token-malformed"), ("a number", 1, "token-malformed"), ("an object", {AUDIENCE: True}, "token-malformed"), ("a list with a number", [AUDIENCE, 1], "token-malformed"),
    ("a list with null", [AUDIENCE, None], "token-malformed"), ("a list in a list", [[AUDIENCE]], "token-malformed"), ("true", True, "token-malformed"),
    ("65 names", [AUDIENCE] * 65, "token-malformed"),
]:
    made(f"aud {title}", verdict, payload=claims(aud=aud))
made("aud, where none is configured", "ok", payload=claims(aud="other"), audience=None)
made("no aud, where none is configured", "ok", payload=claims(aud=...), audience=None)
for title, sub, verdict in [
    ("absent", ..., "ok"), ("of 256 characters", "s" * 256, "ok"), ("of 257 characters", "s" * 257, "token-malformed"), ("empty", "", "ok"), ("of 256 other characters", "é" * 256, "ok"),
    ("with a NUL", "a\0b", "ok"), ("null", None, "token-malformed"), ("a number", 7, "token-malformed"), ("a list", ["a"], "token-malformed"), ("an object", {"id": 1}, "token-malformed"),
]:
    made(f"sub {title}", verdict, payload=claims(sub=sub))
for name in ("jti", "sid", "weir_session", "tier"):
    for value, verdict in [("a", "ok"), (1, "token-malformed"), (None, "token-malformed"), (["a"], "token-malformed"), ("x" * 257, "token-malformed")]:
        made(f"{name} {json.dumps(value)[:12]}", verdict, payload=claims(**{name: value}))
for value, verdict in [(1, "ok"), (3, "ok"), (4_294_967_295, "ok"), (2.0, "ok"), (0, "token-malformed"), (-1, "token-malformed"), (1.5, "token-malformed"), ("1", "token-malformed"),
                       (None, "token-malformed"), (True, "token-malformed"), (4_294_967_296, "token-malformed"), ([1], "token-malformed")]:
    made(f"max_sessions {json.dumps(value)}", verdict, payload=claims(max_sessions=value))
for value, verdict in [(NOW + 3600, "ok"), (NOW + 0.5, "entitlement-over"), (NOW, "entitlement-over"), (NOW - 1, "entitlement-over"), (NOW + 1, "ok"), (str(NOW + 9), "token-malformed"),
                       (None, "token-malformed"), (-1, "token-malformed")]:
    made(f"session_end {json.dumps(value)}", verdict, payload=claims(session_end=value))
made("unknown claims of every type", "ok", payload=claims(a=None, b=[1, {"c": True}], name="x", scope="read write", roles=["a"], exp_=1, email_verified=False))

# What is asked for: paths.
ASKED = "/live/event1/main.m3u8"
for title, path, verdict in [
    ("the folder", "/live/event1", "ok"), ("the folder with a slash", "/live/event1/", "ok"), ("the file", ASKED, "ok"), ("the root", "/", "ok"), ("above", "/live", "ok"),
    ("half a segment", "/live/event", "uri-out-of-scope"), ("longer by a digit", "/live/event10", "uri-out-of-scope"), ("another folder", "/live/event2", "uri-out-of-scope"),
    ("the file and a slash", ASKED + "/", "uri-out-of-scope"), ("the file and more", ASKED + "/x", "uri-out-of-scope"), ("half the file's name", "/live/event1/main", "uri-out-of-scope"),
    ("in capitals", "/LIVE/event1", "uri-out-of-scope"), ("without the first segment", "/event1", "uri-out-of-scope"), ("a wildcard", "/live/*", "uri-out-of-scope"),
    ("a list with it", ["/vod", "/live/event1"], "ok"), ("a list without it", ["/vod", "/live/event10"], "uri-out-of-scope"), ("an empty list", [], "uri-out-of-scope"),
    ("an escape of the same", "/live/%65vent1", "ok"), ("dots within a name", "/live/event1/..x", "uri-out-of-scope"),
    ("empty", "", "token-malformed"), ("without a slash", "live/event1", "token-malformed"), ("dot segments", "/vod/../live/event1", "token-malformed"), ("a dot", "/live/./event1", "token-malformed"),
    ("dots at the end", "/live/event1/..", "token-malformed"), ("encoded dots", "/vod/%2e%2e/live", "token-malformed"), ("an encoded dot", "/live/event1/main%2Em3u8", "token-malformed"),
    ("an encoded slash", "/live%2Fevent1", "token-malformed"), ("two slashes", "//live/event1", "token-malformed"), ("two slashes within", "/live//event1", "token-malformed"),
    ("a backslash", "/live\\event1", "token-malformed"), ("an encoded backslash", "/live%5Cevent1", "token-malformed"), ("NUL", "/live\0", "token-malformed"), ("encoded NUL", "/live%00", "token-malformed"),
    ("overlong UTF-8", "/live%c0%af", "token-malformed"), ("a broken escape", "/live%zz", "token-malformed"), ("half an escape", "/live%2", "token-malformed"), ("a query", "/live?x=1", "token-malformed"),
    ("a fragment", "/live#x", "token-malformed"), ("a parameter", "/live;x=1", "token-malformed"), ("a URL", "https://live.example/live/event1", "token-malformed"), ("a blank", "/live event", "token-malformed"),
    ("not ASCII", "/événement", "token-malformed"), ("a newline", "/live\n", "token-malformed"),
    ("null", None, "token-malformed"), ("a number", 1, "token-malformed"), ("an object", {"prefix": "/live"}, "token-malformed"), ("true", True, "token-malformed"),
    ("a list with a number", ["/live", 1], "token-malformed"), ("a list with null", [None], "token-malformed"), ("a list in a list", [["/live"]], "token-malformed"),
    ("a list with a bad one", ["/live", "/live/../vod"], "token-malformed"), ("a list with an empty one", ["/live", ""], "token-malformed"), ("65 paths", ["/live"] * 65, "token-malformed"),
    ("absent", ..., "ok"),
]:
    made(f"path: {title}", verdict, payload=claims(path=path))
for path, asked, verdict in [("/event1", "/event10/a.m3u8", "uri-out-of-scope"), ("/event1", "/event1", "ok"), ("/event1", "/event1/", "ok"), ("/event1", "/event1.m3u8", "uri-out-of-scope"),
                             ("/event1/", "/event1", "uri-out-of-scope"), ("/event1", "/", "uri-out-of-scope"), ("/a%20b", "/a%20b/c", "ok"), ("/a%c3%a9", "/a%C3%A9/c", "ok")]:
    made(f"path {path}, asked for {asked}", verdict, payload=claims(path=path), path=asked)
made("a mapped claim", "ok", payload=claims(**{"https://paywall.test/paths": ["/live"]}), claims={"path": "https://paywall.test/paths"})
made("a mapped claim that does not cover", "uri-out-of-scope", payload=claims(**{"https://paywall.test/paths": ["/vod"]}), claims={"path": "https://paywall.test/paths"})
made("path, where it is called otherwise", "ok", payload=claims(path=7), claims={"path": "https://paywall.test/paths"})
made("a mapped claim of the wrong type", "token-malformed", payload=claims(prefix=7), claims={"path": "prefix"})

# Addresses and countries.
for ip, address, verdict in [
    ("192.0.2.7", "192.0.2.7", "ok"), ("192.0.2.8", "192.0.2.7", "address-mismatch"), ("192.0.2.0/24", "192.0.2.7", "ok"), ("192.0.2.99/24", "192.0.2.7", "ok"), ("192.0.3.0/24", "192.0.2.7", "address-mismatch"),
    ("0.0.0.0/0", "192.0.2.7", "ok"), ("192.0.2.7/32", "192.0.2.7", "ok"), ("::ffff:192.0.2.7", "192.0.2.7", "ok"), ("::ffff:192.0.2.0/120", "192.0.2.7", "ok"), ("192.0.2.7", "::ffff:192.0.2.7", "ok"),
    ("2001:db8::7", "2001:db8::7", "ok"), ("2001:DB8:0:0::7", "2001:db8::7", "ok"), ("2001:db8::/48", "2001:db8::7", "ok"), ("2001:db8:1::/48", "2001:db8::7", "address-mismatch"),
    ("::/0", "2001:db8::7", "ok"), ("::/0", "192.0.2.7", "address-mismatch"), ("0.0.0.0/0", "2001:db8::7", "address-mismatch"), ("192.0.2.7", "2001:db8::7", "address-mismatch"),
    ("::192.0.2.7", "192.0.2.7", "address-mismatch"),
]:
    made(f"ip {ip}, from {address}", verdict, payload=claims(ip=ip), address=address)
for ip in ["", "192.0.2", "192.0.2.256", "192.0.2.7/33", "192.0.2.7/-1", "192.0.2.7/", "2001:db8::/129", "192.0.2.7:443", "[2001:db8::7]", "fe80::1%eth0", "192.0.2.07", "0xc0000207", "3221225991",
           " 192.0.2.7", "192.0.2.*", "192.0.2.1-192.0.2.9", "localhost", "192.0.2.7,192.0.2.8", "192.0.2.0/255.255.255.0", None, 3221225991, ["192.0.2.7"], {}, True]:
    made(f"ip {json.dumps(ip)}", "token-malformed", payload=claims(ip=ip))
for geo, country, verdict in [
    ("DE", "DE", "ok"), ("de", "DE", "ok"), ("DE", "FR", "geo-refused"), (["FR", "DE"], "DE", "ok"), (["FR", "AT"], "DE", "geo-refused"), ([], "DE", "geo-refused"), ("DE", None, "geo-unknown"), ([], None, "geo-unknown"),
    ("US", "US-CA", "ok"), ("US-CA", "US-CA", "ok"), ("US-CA", "US-NY", "geo-refused"), ("US-CA", "US", "geo-unknown"), ("US-CA", "DE", "geo-refused"),
    ("Germany", "DE", "token-malformed"), ("", "DE", "token-malformed"), ("DEU", "DE", "token-malformed"), ("49", "DE", "token-malformed"), ("US-", "US", "token-malformed"), ("US-CALI", "US", "token-malformed"), ("*", "DE", "token-malformed"),
    ("DE,FR", "DE", "token-malformed"), (None, "DE", "token-malformed"), (49, "DE", "token-malformed"), (["DE", 1], "DE", "token-malformed"), ({"DE": 1}, "DE", "token-malformed"),
]:
    made(f"geo {json.dumps(geo)}, in {country}", verdict, payload=claims(geo=geo), country=country)

# Form.
whole = hand(HEADER, claims())
head, body, signature = whole.split(".")
for title, token in {
    "nothing": "", "one part": head, "two parts": f"{head}.{body}", "four parts": f"{whole}.", "four full parts": f"{whole}.{signature}", "five parts": f"{whole}.{body}.{signature}", "six parts": f"{whole}.a.b.c",
    "dots": "..", "one dot": ".", "four dots": "....", "a dot before": f".{whole}", "a dot behind": f"{whole}.", "no header": f".{body}.{signature}", "no payload": f"{head}..{signature}",
    "a newline behind": f"{whole}\n", "CRLF behind": f"{whole}\r\n", "a blank before": f" {whole}", "a blank behind": f"{whole} ", "a blank within": f"{head}. {body}.{signature}", "a tab within": f"{head}.{body}\t.{signature}",
    "a newline in the header": f"{head[:9]}\n{head[9:]}.{body}.{signature}", "NUL behind": f"{whole}\0", "padding behind the header": f"{head}=.{body}.{signature}", "padding behind the payload": f"{head}.{body}==.{signature}",
    "padding behind the signature": f"{whole}=", "percent-encoded padding": f"{whole}%3D", "quotes around": f'"{whole}"', "Bearer before": f"Bearer {whole}", "a comma behind": f"{whole},", "a byte order mark before": f"\ufeff{whole}",
    "a character that is not ASCII": f"{whole}é", "a token twice": f"{whole}{whole}", "JSON": json.dumps({"payload": body, "protected": head, "signature": signature}), "general JSON": json.dumps({"payload": body, "signatures": [{"protected": head, "signature": signature}]}),
    "one character less in the header": f"{head[:-1]}.{body}.{signature}" if len(head) % 4 != 0 else f"{head}A.{body}.{signature}",
}.items():
    case(f"form: {title}", token, "token-malformed")
case("form: one character more in the signature", f"{whole}A", "signature-bad")
for title, alphabet in [("+", "+"), ("/", "/")]:
    message = f"{part(HEADER)}.{part(claims())}"
    mac = bytearray(sign("HS256", SECRET[256], message.encode()))
    case(f"form: {title} of the other alphabet", f"{message}.{alphabet}{b64(bytes(mac))[1:]}", "token-malformed")
last = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
loose = last[last.index(signature[-1]) | 1]
case("form: unused bits of the signature", f"{head}.{body}.{signature[:-1]}{loose}", "token-malformed")
odd = next(claims(pad="x" * n) for n in range(3) if len(json.dumps(claims(pad="x" * n))) % 3 == 1)
odd_body = part(odd)
loose_body = odd_body[:-1] + last[last.index(odd_body[-1]) | 3]
message = f"{part(HEADER)}.{loose_body}"
case("form: unused bits of the payload", f"{message}.{b64(sign('HS256', SECRET[256], message.encode()))}", "token-malformed")
for title, text in {
    "a list": "[]", "a text": '"x"', "a number": "1", "null": "null", "empty": " ", "cut short": '{"exp":', "trailing comma": json.dumps(claims())[:-1] + ",}", "single quotes": "{'exp': 1}", "two objects": json.dumps(claims()) + "{}",
    "a comment": json.dumps(claims()) + "// x", "not quoted": "{exp: 1}", "a NUL behind": json.dumps(claims()) + "\0", "a lone surrogate": json.dumps(claims())[:-1] + ', "x": "\\ud800"}', "a control character": json.dumps(claims())[:-1] + ', "x": "\x01"}',
}.items():
    made(f"payload: {title}", "token-malformed", payload=text)
    if title not in ("empty", "cut short", "trailing comma"):
        case(f"header: {title}", hand(text.replace(json.dumps(claims()), json.dumps(HEADER)), claims()), "token-malformed")
ours = json.dumps(claims()).encode()
made("payload: byte order mark", "token-malformed", payload=b"\xef\xbb\xbf" + ours)
made("header: byte order mark", "token-malformed", header=b"\xef\xbb\xbf" + json.dumps(HEADER).encode())
made("payload: UTF-16", "token-malformed", payload=ours.decode().encode("utf-16"))
made("payload: UTF-16 without mark", "token-malformed", payload=ours.decode().encode("utf-16-le"))
made("payload: Latin-1", "token-malformed", payload=ours[:-1] + b', "x": "\xe9"}')
made("payload: overlong UTF-8", "token-malformed", payload=ours[:-1] + b', "x": "\xc0\xaf"}')
made("payload: a surrogate in UTF-8", "token-malformed", payload=ours[:-1] + b', "x": "\xed\xa0\x80"}')
made("header: Latin-1", "token-malformed", header=json.dumps(HEADER).encode()[:-1] + b', "x": "\xe9"}')
made("payload: blanks around", "ok", payload=b" \n\t" + ours + b"\r\n ")
made("payload: blanks within", "ok", payload=json.dumps(claims(), indent=4))
made("payload: escaped slashes", "ok", payload=ours.replace(b"/", b"\\/"))
made("payload: a pair of surrogates", "ok", payload=json.dumps(claims(name="\U0001f3ac")))
made("payload: UTF-8", "ok", payload=json.dumps(claims(name="é\U0001f3ac"), ensure_ascii=False))
for depth, verdict in [(7, "ok"), (8, "token-malformed"), (100, "token-malformed"), (2_000, "token-malformed")]:
    made(f"payload: {depth} lists deep", verdict, payload=raw(f'"x": {"[" * depth}{"]" * depth}'))
made("payload: 500 objects deep", "token-malformed", payload=raw('"x": ' + '{"a":' * 500 + "1" + "}" * 500))
made("header: 500 lists deep", "token-malformed", header=json.dumps(HEADER)[:-1] + ', "x": ' + "[" * 500 + "]" * 500 + "}")
made("payload: lists without end", "token-malformed", payload=raw('"x": ' + "[" * 3_000))
made("payload: 2000 values", "token-malformed", payload=raw('"x": [' + "0," * 1_999 + "0]"))
for size in (8_192, 8_193, 8_196, 20_000):
    for length in range(size * 3 // 4 - 400, size):
        token = hand(HEADER, claims(pad="x" * length))
        if len(token) >= size:
            break
    tail = "token-too-large" if len(token) > 8_192 else "ok"
    if not any(len(other["token"]) == len(token) for other in cases):
        case(f"{len(token)} octets", token, tail)
case("large, and of no form", "x" * 8_193, "token-too-large")

# ECDSA: r and s in full, both within 1..n-1; a high s is one.
for alg, key, kid, order, length in [("ES256", P256, "es256", P256_ORDER, 32), ("ES384", P384, "es384", P384_ORDER, 48)]:
    head, payload = {"alg": alg, "kid": kid}, claims()
    message = f"{part(head)}.{part(payload)}"
    octets = sign(alg, key, message.encode())
    r, s = int.from_bytes(octets[:length], "big"), int.from_bytes(octets[length:], "big")
    pair = lambda r, s: b64(r.to_bytes(length, "big") + s.to_bytes(length, "big"))
    hash_ = hashes.SHA384() if alg == "ES384" else hashes.SHA256()
    case(f"{alg}: DER", f"{message}.{b64(key.sign(message.encode(), ec.ECDSA(hash_)))}", "signature-bad")
    case(f"{alg}: the other s", f"{message}.{pair(r, order - s)}", "ok")
    for title, value in [("r is 0", (0, s)), ("s is 0", (r, 0)), ("r is n", (order, s)), ("s is n", (r, order)), ("r is 1, s is 1", (1, 1)), ("r and s swapped", (s, r)),
                         ("s is n + s", (r, min(order + s, (1 << 8 * length) - 1)))]:
        case(f"{alg}: {title}", f"{message}.{pair(*value)}", "signature-bad")
    short = octets[:length].lstrip(b"\0") + octets[length:].lstrip(b"\0") + b"\0"
    case(f"{alg}: an octet moved", f"{message}.{b64(short[1:] + short[:1])}", "signature-bad")
pyjwt("ES256 by the key for ES384", "alg-refused", alg="ES256", key=P256, kid="es384")
pyjwt("ES384 by the key for ES256", "alg-refused", alg="ES384", key=P384, kid="es256")
case("ES384 with a point of P-256", hand({"alg": "ES384", "kid": "es384"}, claims(), "ES256", P256), "signature-bad")
token = hand({"alg": "PS256", "kid": "ps256"}, claims(), "RS256", RSA_PSS)
case("PS256 in the header, PKCS #1 in the signature", token, "signature-bad")
token = hand({"alg": "RS256", "kid": "rs256"}, claims(), "PS256", RSA)
case("RS256 in the header, PSS in the signature", token, "signature-bad")
token = hand({"alg": "RS256", "kid": "rs256"}, claims(), "RS384", RSA)
case("RS256 in the header, SHA-384 in the signature", token, "signature-bad")
message = f"{part({'alg': 'PS256', 'kid': 'ps256'})}.{part(claims())}"
unsalted = RSA_PSS.sign(message.encode(), padding.PSS(padding.MGF1(hashes.SHA256()), 0), hashes.SHA256())
case("PS256 without salt", f"{message}.{b64(unsalted)}", "signature-bad")
head, body, signature = hand({"alg": "HS512", "kid": "hs512"}, claims(), "HS512", SECRET[512]).split(".")
octets = base64.urlsafe_b64decode(signature + "==")
case("HS512 cut to 32 octets", f"{head}.{body}.{b64(octets[:32])}", "signature-bad")
case("HS512 in the header, HS256 in the signature", hand({"alg": "HS512", "kid": "hs512"}, claims(), "HS256", SECRET[512]), "signature-bad")

out = pathlib.Path(__file__).with_name("python.json")
lines = ",\n".join("  " + json.dumps(entry, ensure_ascii=True) for entry in cases)
sets = ",\n".join(f"  {json.dumps(name)}: {json.dumps(keys)}" for name, keys in keysets.items())
out.write_text(f'{{"now": {NOW}, "keys": {{\n{sets}\n}}, "cases": [\n{lines}\n]}}\n')
print(len(cases), "cases in", out.name)
