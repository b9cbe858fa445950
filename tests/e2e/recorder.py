"""What each function asks of S3, held against what its role allows.

A proxy stands between each function and the emulator, which knows roles and policies but enforces none. It writes down
each request as the action and resource that AWS would decide about.
"""

import http.client
import http.server
import threading
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from urllib.parse import parse_qs, unquote, urlsplit

# Between two hops, not between the ends.
HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length"}


@dataclass(frozen=True)
class Call:
    """One request: `s3:GetObject` of `arn:aws:s3:::bucket/key`, with the keys that policies have conditions on."""

    function: str
    action: str
    resource: str
    conditions: frozenset = field(default_factory=frozenset)


def calls(function, method, target, headers):
    """The actions that one request needs."""
    url = urlsplit(target)
    bucket, _, key = unquote(url.path).lstrip("/").partition("/")
    query = parse_qs(url.query, keep_blank_values=True)
    conditions = frozenset(f"s3:{name}" for name in ("if-match", "if-none-match") if headers.get(name))
    arn = f"arn:aws:s3:::{bucket}" + (f"/{key}" if key else "")
    if not key:
        listing = method == "GET" and query.get("list-type") == ["2"]
        return [Call(function, "s3:ListBucket" if listing else f"{method} {target}", arn)]
    if method in ("GET", "HEAD"):
        return [Call(function, "s3:GetObjectVersion" if "versionId" in query else "s3:GetObject", arn)]
    if method == "DELETE":
        return [Call(function, "s3:AbortMultipartUpload" if "uploadId" in query else "s3:DeleteObject", arn)]
    found = [Call(function, "s3:PutObject", arn, conditions)]
    if source := headers.get("x-amz-copy-source"):
        found.append(Call(function, "s3:GetObject", f"arn:aws:s3:::{unquote(source).lstrip('/')}"))
    if headers.get("x-amz-tagging"):
        found.append(Call(function, "s3:PutObjectTagging", arn))
    return found


class Recorder:
    """Proxies in front of one endpoint, each on a port of its own."""

    def __init__(self, endpoint):
        self.upstream = urlsplit(endpoint).netloc
        self.calls = set()
        self.servers = []

    def proxy(self, function):
        """The endpoint that a function is told."""
        recorder = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def forward(self):
                recorder.calls.update(calls(function, self.command, self.path, self.headers))
                headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP_BY_HOP}
                upstream = http.client.HTTPConnection(recorder.upstream, timeout=120)
                try:
                    upstream.request(self.command, self.path, self.body(), headers)
                    answer = upstream.getresponse()
                    content = answer.read()
                except OSError:
                    # The emulator is going.
                    self.close_connection = True
                    return
                finally:
                    upstream.close()
                self.send_response_only(answer.status, answer.reason)
                for name, value in answer.getheaders():
                    if name.lower() not in HOP_BY_HOP:
                        self.send_header(name, value)
                length = answer.getheader("content-length", "0") if self.command == "HEAD" else str(len(content))
                if answer.status not in (204, 304):
                    self.send_header("content-length", length)
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = forward

            def body(self):
                if self.headers.get("transfer-encoding", "").lower() != "chunked":
                    return self.rfile.read(int(self.headers.get("content-length", 0)))
                body = b""
                while size := int(self.rfile.readline().split(b";")[0], 16):
                    body += self.rfile.read(size)
                    self.rfile.readline()
                while self.rfile.readline().strip():
                    pass
                return body

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    def close(self):
        for server in self.servers:
            server.shutdown()
            server.server_close()


def listed(value):
    return value if isinstance(value, list) else [value]


def matches(pattern, text):
    """As IAM compares: only `*` and `?` are patterns."""
    return fnmatchcase(text, pattern.replace("[", "[[]"))


def applies(statement, call):
    """Whether a statement is about a call. Of conditions, those are known that a template of ours has."""
    if not any(matches(action, call.action) for action in listed(statement["Action"])):
        return False
    if not any(matches(resource, call.resource) for resource in listed(statement["Resource"])):
        return False
    for operator, wanted in statement.get("Condition", {}).items():
        for key, value in wanted.items():
            if operator == "Null":
                if (key not in call.conditions) != (value in (True, "true")):
                    return False
            elif (operator, key) == ("Bool", "aws:SecureTransport"):
                # The emulator speaks plain HTTP, AWS is asked by TLS.
                if value in (False, "false"):
                    return False
            else:
                raise ValueError(f"the recorder does not know the condition {operator} {key}")
    return True


def problems(recorded, roles, bucket_policies):
    """What the functions did beyond their roles, and what their roles allow that none of them did.

    `roles` are statements by function, `bucket_policies` those of all buckets.
    """
    found = []
    for call in sorted(recorded, key=lambda call: (call.function, call.action, call.resource)):
        allowed = any(statement["Effect"] == "Allow" and applies(statement, call) for statement in roles[call.function])
        denied = [statement for statement in bucket_policies if statement["Effect"] == "Deny" and applies(statement, call)]
        if not allowed:
            found.append(f"{call.function} may not {call.action} {call.resource}")
        found += [f"{call.function} is denied {call.action} {call.resource} by {it['Sid']}" for it in denied]
    for function, statements in roles.items():
        for statement in statements:
            for action in listed(statement["Action"]):
                for resource in listed(statement["Resource"]):
                    if not action.startswith("s3:"):
                        continue
                    one = {**statement, "Action": action, "Resource": resource}
                    if not any(call.function == function and applies(one, call) for call in recorded):
                        found.append(f"{function} never needed {action} {resource}")
    return found
