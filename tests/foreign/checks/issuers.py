"""The page "Gate a stream" as its readers use it: keys by the command line, issuers in five languages, a gated node."""

import base64
import json
import os
import pathlib
import re
import shutil
import stat
import sys

from kit.curl import curl
from kit.processes import run
from kit.weir import BINARIES, ROOT, weir
from . import check

PAGE = ROOT / "docs/gate-a-stream.md"
ISSUER, AUDIENCE = "https://paywall.example", "weir-edge"
EVENT, MASTER = "/live", "/live/master.m3u8"


def keygen(folder, kid="2026-a", *more):
    """A key as the page makes it."""
    made = weir("token", "keygen", "--kid", kid, "--out", folder, "--json", *more)
    assert made.returncode == 0, made.stderr
    return json.loads(made.stdout)


def gated(bench, name, tables="", keys=None, route="", node=""):
    """A node before the origin, whose streams are gated as the page says."""
    folder = bench.folder / f"{name}-keys"
    keys = keys or keygen(folder)
    made = weir("token", "keygen", "--node", "--out", folder)
    assert made.returncode == 0, made.stderr
    toml = bench.toml(more=f'access = "members"\n{route}\n{access(keys)}\n{tables}')
    toml = toml.replace("workers = 2", f'workers = 2\nsecrets = "{folder}/node.keys"\n{node}')
    return bench.serve_toml(name, toml), keys


def access(keys, name="members", more=""):
    return f'[access.{name}]\nissuer = "{ISSUER}"\naudience = "{AUDIENCE}"\njwks_file = "{keys["public"]}"\n{more}'


def mint(keys, *more, seconds=300, path=EVENT, subject="viewer-17", at=None):
    arguments = ["--key", keys["private"], "--issuer", ISSUER, "--audience", AUDIENCE, "--subject", subject, "--path", path]
    made = weir("token", "mint", *arguments, "--for", f"{seconds}s", *(["--at", at] if at else []), *more)
    assert made.returncode == 0, made.stderr
    return made.stdout.decode().strip()


def blocks():
    """Each language's block of the page."""
    return dict(re.findall(r"^```(rust|js|python|go|php)\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL))


class Issuer:
    """A block of the page as a program of its own."""

    def __init__(self, folder, language, text):
        self.folder = pathlib.Path(folder) / language
        self.folder.mkdir(parents=True)
        self.environment = dict(os.environ)
        self.command = getattr(self, f"_{language}")(text)

    def token(self, keys, subject, path, seconds):
        arguments = [keys["private"], keys["kid"], subject, path, seconds]
        ended = run([*self.command, *arguments], seconds=120, cwd=self.folder, env=self.environment)
        assert ended.returncode == 0, f"{self.folder.name}: {ended.stderr.decode()[-800:]}"
        return ended.stdout.decode().strip()

    def _file(self, name, text):
        path = self.folder / name
        path.write_text(text)
        return path

    def _rust(self, text):
        """The example that the page shows; there is little to compile where the tests have run."""
        lines = [line for line in (ROOT / "examples/issuer.rs").read_text().splitlines() if not line.startswith(("//!", "#!["))]
        assert "\n".join(lines).strip() == text.strip(), "the page's Rust issuer is not examples/issuer.rs"
        profile = ["--release"] if BINARIES.name == "release" else []
        cargo = run(["cargo", "build", "--quiet", "--locked", "--example", "issuer", *profile], seconds=300, cwd=ROOT)
        assert cargo.returncode == 0, cargo.stderr.decode()[-800:]
        return [BINARIES / "examples/issuer"]

    def _js(self, text):
        (self.folder / "node_modules").symlink_to(ROOT / "node_modules")
        return ["node", self._file("issuer.mjs", text)]

    def _python(self, text):
        return [sys.executable, self._file("issuer.py", text)]

    def _go(self, text):
        """As a module, whose only requirement is where Debian keeps it."""
        source = "/usr/share/gocode/src/github.com/golang-jwt/jwt"
        self._file("go.mod", f"module issuer\n\ngo 1.18\n\nrequire github.com/golang-jwt/jwt/v4 v4.4.3\n\nreplace github.com/golang-jwt/jwt/v4 => {source}\n")
        self._file("issuer.go", text)
        self.environment.update(
            GOFLAGS="-mod=mod", GOPROXY="off", GOCACHE=str(self.folder / "cache"), GO111MODULE="on", GOPATH=str(self.folder / "path"))
        built = run(["go", "build", "-o", "issuer", "."], seconds=300, cwd=self.folder, env=self.environment)
        assert built.returncode == 0, built.stderr.decode()[-800:]
        return [self.folder / "issuer"]

    def _php(self, text):
        return ["php", self._file("issuer.php", text)]


@check
def issuers_of_five_languages_issue_what_a_node_takes(bench):
    node, keys = gated(bench, "issuers")
    assert curl(node.http(MASTER)).status == 401
    said = []
    found = blocks()
    assert len(found) == 5, found.keys()
    for language, text in found.items():
        issuer = Issuer(bench.folder / "issuers-of", language, text)
        good = issuer.token(keys, "viewer-17", EVENT, "300")
        header = json.loads(base64.urlsafe_b64decode(good.split(".")[0] + "=="))
        assert (header["alg"], header["kid"]) == ("ES256", keys["kid"]), header
        verdict = weir("token", "check", good, "--config", node.config, "--url", f"https://edge.example{MASTER}")
        assert verdict.returncode == 0, f"{language}: {verdict.stdout.decode()}"
        for carried in carriers(good, MASTER):
            answer = curl(node.http(carried[0]), *carried[1:])
            assert (answer.status, b"#EXTM3U" in answer.body) == (200, True), f"{language} {carried[0]}: {answer.status} {answer.body[:300]}"
        refusals = [
            ("uri-out-of-scope", 403, issuer.token(keys, "viewer-17", "/other", "300")),
            ("token-expired", 401, issuer.token(keys, "viewer-17", EVENT, "-60")),
            ("signature-bad", 401, spoiled(good)),
        ]
        for reason, status, token in refusals:
            answer = curl(node.http(MASTER), "-H", f"Authorization: Bearer {token}")
            assert answer.status == status, f"{language} {reason}: {answer.status} {answer.body[:300]}"
            assert json.loads(answer.body)["reason"] == reason, f"{language}: {answer.body}"
            assert token.split(".")[2][:16] not in answer.body.decode(), "a refusal repeats its token"
        said.append(language)
    return ", ".join(said)


def carriers(token, path):
    """The four places of a token: path, and arguments of curl."""
    return [
        (f"/.weir/t/{token}{path}",),
        (path, "-H", f"Authorization: Bearer {token}"),
        (path, "-H", f"Cookie: token={token}"),
        (f"{path}?token={token}",),
    ]


def spoiled(token):
    """The same claims under another signature."""
    head, claims, signature = token.split(".")
    return ".".join([head, claims, ("B" if signature[0] == "A" else "A") + signature[1:]])


@check
def the_page_s_command_lines_do_what_it_says(bench):
    """Keys, a token by `mint`, its verdict, and the link that plays; then the words of refusals."""
    node, keys = gated(bench, "ten-minutes")
    assert stat.S_IMODE(os.stat(keys["private"]).st_mode) == 0o600
    checked = weir("check", "--config", node.config)
    assert checked.returncode == 0, checked.stdout
    token = mint(keys, "--session-end", "4h")
    told = run([BINARIES / "weir", "token", "check", "-", "--config", node.config, "--url", f"https://edge.example{MASTER}"],
               stdin=None, input=token.encode())
    assert told.returncode == 0 and b"plays until" in told.stdout and token.encode() not in told.stdout, told.stdout
    for token_arguments in (["--token", token], ["--token-file", _file(bench, "token.txt", token)]):
        explained = weir("explain", f"http://127.0.0.1:{node.port()}{MASTER}", *token_arguments, "--admin", node.admin)
        assert explained.returncode == 0, f"{explained.stdout} {explained.stderr}"
        assert token.encode() not in explained.stdout + explained.stderr
    refused = weir("explain", f"http://127.0.0.1:{node.port()}{MASTER}", "--token", spoiled(token), "--admin", node.admin)
    assert refused.returncode == 1 and b"signature-bad" in refused.stdout, refused.stdout
    play = curl(node.http(f"/.weir/t/{token}{MASTER}"))
    session = play.fields["weir-session"][0]
    child = next(line for line in play.body.decode().splitlines() if line.startswith("/.weir/s/"))
    assert curl(node.http(child)).status == 200
    revoked = weir("revoke", "--access", "members", "--subject", "viewer-17", "--admin", node.admin)
    assert revoked.returncode == 0, revoked.stderr
    answer = curl(node.http(child))
    assert (answer.status, json.loads(answer.body)["reason"]) == (403, "revoked"), answer
    return f"session {session}"


def _file(bench, name, text):
    path = bench.folder / name
    path.write_text(text)
    return path


@check
def every_reason_word_has_its_row_in_the_page(bench):
    """Refusals point to it: `help` is the page and the word."""
    source = (ROOT / "src/rules/token/reason.rs").read_text()
    words = re.findall(r'^        "([a-z-]+)",$', source, re.MULTILINE)
    rows = re.findall(r'^\| <a id="([a-z-]+)"></a>`\1` \| \d{3} \|', PAGE.read_text(), re.MULTILINE)
    assert len(words) >= 28 and sorted(words) == sorted(rows), set(words) ^ set(rows)
    for tool in ("go", "php", "node"):
        assert shutil.which(tool), f"{tool} is not installed; tests/setup.sh installs it"
    return f"{len(words)} words"
