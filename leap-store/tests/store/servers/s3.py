"""Serves S3 from memory on a free port of the loopback until standard input ends.

Single-threaded on purpose: moto checks a condition and writes without a lock in between, so that with threads two
conditional puts can both win. The first line on standard output is the server's address; the bucket `leap` is there then.
"""

import os
import sys
import threading
import urllib.request

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server


class Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.0"  # one request per connection: a kept one would block all others

    def log(self, *_):
        pass


def end_with_parent():
    sys.stdin.read()
    os._exit(0)


def make_bucket(url):
    urllib.request.urlopen(urllib.request.Request(f"{url}/leap", method="PUT"))
    print(url, flush=True)


def serve(app):
    server = make_server("127.0.0.1", 0, app, threaded=False, request_handler=Quiet)
    threading.Thread(target=end_with_parent, daemon=True).start()
    threading.Thread(target=make_bucket, args=[f"http://127.0.0.1:{server.port}"], daemon=True).start()
    server.serve_forever()


if __name__ == "__main__":
    serve(DomainDispatcherApplication(create_backend_app))
