"""Serves Google Cloud Storage's XML API from memory, as s3.py serves S3.

That API is S3's but for one thing that matters here: conditions name an object's generation, a number that each write
of it raises. So this is moto's S3, with the conditions put in front as Google documents them. It is no more than that: it
shows that our requests are what was documented, not that Google's servers keep their word.
"""

import itertools

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

import s3

# S3 knows another form of credentials, and hides objects from callers without any.
SOMEBODY = "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=none"


class Generations:
    def __init__(self, app):
        self.app = app
        self.of = {}
        self.numbers = itertools.count(1_700_000_000_000_000)

    def __call__(self, environ, start_response):
        environ["HTTP_AUTHORIZATION"] = SOMEBODY
        method, key = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        expected = environ.pop("HTTP_X_GOOG_IF_GENERATION_MATCH", None)
        if expected is not None and int(expected) != self.of.get(key, 0):
            start_response("412 Precondition Failed", [("Content-Length", "0")])
            return []

        def start(status, headers, *rest):
            if status.startswith("2") and method == "PUT":
                self.of[key] = next(self.numbers)
            elif status.startswith("2") and method == "DELETE":
                self.of.pop(key, None)
            if key in self.of:
                headers = [*headers, ("x-goog-generation", str(self.of[key]))]
            return start_response(status, headers, *rest)

        return self.app(environ, start)


if __name__ == "__main__":
    s3.serve(Generations(DomainDispatcherApplication(create_backend_app)))
