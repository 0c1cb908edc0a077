"""A program without a reactor: threads that share one mesh.

    python mesh_threads.py tcp://127.0.0.1:7000

Three threads send a hundred envelopes each to an echoing hub (mesh_echo.py), one thread receives what comes back.
"""

import sys
import threading

from nettool.mesh import Envelope, ThreadedMesh
from nettool.mesh.threads import transport

SENDERS, EACH = 3, 100


def send(mesh, name):
    for number in range(EACH):
        mesh.send_when_ready(Envelope("hub", b"%s %d" % (name, number)))


with ThreadedMesh() as mesh:
    mesh.add(transport().connect(sys.argv[1]), "hub")
    threads = [threading.Thread(target=send, args=(mesh, b"thread-%d" % n)) for n in range(SENDERS)]
    for thread in threads:
        thread.start()
    received = [mesh.recv(timeout=30).payload for _ in range(SENDERS * EACH)]
    for thread in threads:
        thread.join()
print(len(received), "came back, of", len(set(received)), "sent")
