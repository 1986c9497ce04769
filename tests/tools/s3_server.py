"""moto's S3 on a free port of this machine, one request at a time.

moto looks whether an object is there and creates it in two steps: between them, another thread may create it too, and
`If-None-Match: *` holds for both. One at a time, exactly one of several writers wins, as on AWS S3. Says on standard
error where it listens, as `Running on http://127.0.0.1:<port>`.
"""

import threading

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import run_simple

application = DomainDispatcherApplication(create_backend_app)
turn = threading.Lock()


def one_at_a_time(environ, start_response):
    with turn:
        # As a list: a body that is made as it is read would be made outside the turn.
        return list(application(environ, start_response))


run_simple("127.0.0.1", 0, one_at_a_time, threaded=True, request_handler=MotoRequestHandler)
