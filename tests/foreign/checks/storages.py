"""A private bucket that computes each signature itself, by botocore, over the octets that came, and believes nothing else."""

import datetime
import http.server
import threading
from unittest import mock
from urllib.parse import unquote

import botocore.auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from kit import weir
from kit.curl import H1, H2, curl
from . import check

KEY, SECRET, TOKEN = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "session/token+="
OBJECTS = {"/b/live/a.m4s": b"a", "/b/a(1)+b c.m4s": b"b", "/b//two//slashes": b"c", "/b/x": b"d", "/b/\u00fc": b"e"}


class Bucket(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    seen = []

    def do_GET(self):
        self.connection.settimeout(30)
        wrong = judged(self)
        found = None if wrong else OBJECTS.get(unquote(self.path.split("?")[0]))
        Bucket.seen.append((self.path, wrong))
        body = found if found is not None else f"<Error><Code>{wrong or 'AccessDenied'}</Code></Error>".encode()
        self.send_response(200 if found is not None else 403)
        self.send_header("content-length", str(len(body)))
        self.send_header("last-modified", "Mon, 02 Nov 2015 10:00:00 GMT")
        self.end_headers()
        self.wfile.write(b"" if self.command == "HEAD" else body)

    do_HEAD = do_GET

    def log_message(self, *_):
        pass


def judged(request):
    """What is wrong with the signature of a request; nothing, if it is the one that botocore computes."""
    authorization = request.headers.get("authorization", "")
    if not authorization.startswith("AWS4-HMAC-SHA256 "):
        return "MissingSignature"
    parts = dict(part.strip().split("=", 1) for part in authorization.split(" ", 1)[1].split(","))
    sent = datetime.datetime.strptime(request.headers["x-amz-date"], "%Y%m%dT%H%M%SZ")
    now = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)
    if abs((now - sent).total_seconds()) > 300:
        return "RequestTimeTooSkewed"
    amz = {name.lower() for name in request.headers if name.lower().startswith("x-amz-")}
    signed = parts["SignedHeaders"].split(";")
    if not amz <= set(signed) or "host" not in signed:
        return "UnsignedFields"
    fields = {name: request.headers[name] for name in signed
              if name not in ("x-amz-date", "x-amz-security-token", "x-amz-content-sha256")}
    url = f"http://{request.headers['host']}{request.path}"
    asked = AWSRequest(method=request.command, url=url, headers=fields)
    signer = botocore.auth.S3SigV4Auth(Credentials(KEY, SECRET, TOKEN), "s3", "eu-central-1")
    signer.payload = lambda _: request.headers["x-amz-content-sha256"]
    with mock.patch.object(botocore.auth, "get_current_datetime", lambda remove_tzinfo=True: sent):
        signer.add_auth(asked)
    return None if asked.headers["Authorization"] == authorization else "SignatureDoesNotMatch"


@check
def a_bucket_that_computes_signatures_itself_believes_the_node(bench):
    """Paths with brackets, pluses, blanks, double slashes and letters of other tongues, queries out of order, HEAD, ranges."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Bucket)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    keys = bench.folder / "bucket.keys"
    keys.write_text(f"[default]\naws_access_key_id = {KEY}\naws_secret_access_key = {SECRET}\naws_session_token = {TOKEN}\n")
    auth = f'auth = {{ aws_sigv4 = {{ region = "eu-central-1", credentials_file = "{keys}" }} }}\nmissing = [403]\n'
    url = f'url = "http://127.0.0.1:{server.server_port}"\n'
    toml = bench.toml().replace(f'url = "{bench.origin.url}"\n', url + auth)
    # A bucket's keys may have what no stream has.
    toml = toml.replace("[[route]]\n", "[[route]]\nstrict_paths = false\n", 1)
    assert auth in toml and "strict_paths" in toml, toml
    node = weir.Node(bench.folder, "before-a-bucket", toml)
    for flags in (H1, ("--cacert", bench.ca, *H2)):
        base = node.http() if flags is H1 else node.https()
        for path, expected in [("/b/live/a.m4s", "a"), ("/b/a(1)+b%20c.m4s", "b"), ("/b/a%281%29%2Bb%20c.m4s", "b"),
                               ("/b//two//slashes", "c"), ("/b/x?z=1&a=%20y&versionId=", "d"), ("/b/%c3%bc", "e"),
                               ("/b/x?-=~&A=1&a=%2F", "d")]:
            said = curl(base + path, *flags, "--path-as-is", "-H", "Range: bytes=0-", "-H", "x-amz-acl: public-read")
            assert said.body == expected.encode(), (path, said, Bucket.seen[-1:])
        absent = curl(base + "/b/absent", *flags)
        assert absent.status == 404 and b"origin-missing" in absent.body, (absent, Bucket.seen[-1:])
    node.end(), server.shutdown()
    assert Bucket.seen and all(wrong is None for _, wrong in Bucket.seen), Bucket.seen
    return f"{len(Bucket.seen)} signatures"
