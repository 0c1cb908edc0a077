"""A work queue: several workers share what all clients send, and each answer goes back to who asked.

    python mesh_work.py

Two clients in this process send ten numbers each; three workers square them.  A worker that is busy takes nothing, so
the others get more; when all are busy the incoming queue fills, and the clients are not read until there is room.
"""

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater, react

from nettool.mesh import Envelope, Mesh, transport


async def work(reactor, mesh, name, done):
    async for envelope in mesh:  # each envelope goes to one worker
        await deferLater(reactor, 0.001 * len(name))  # the work
        number = int(envelope.payload)
        await mesh.send_when_ready(Envelope(envelope.id, b"%d" % number**2))
        done[name] += 1


async def ask(mesh, numbers):
    for number in numbers:
        await mesh.send_when_ready(Envelope("workers", b"%d" % number))
    return [int((await mesh.recv()).payload) for _ in numbers]


async def main(reactor):
    listener = await transport().listen("inproc://work")
    workers, done = Mesh(incoming_capacity=8), {"a": 0, "bb": 0, "cccc": 0}
    working = [Deferred.fromCoroutine(work(reactor, workers, name, done)) for name in done]
    clients = [Mesh(), Mesh()]
    for number, client in enumerate(clients):
        client.add(await transport().connect(listener.endpoint), "workers")
        workers.add(await listener.accept(), f"client {number}")
    asking = [Deferred.fromCoroutine(ask(client, range(10 * n, 10 * n + 10))) for n, client in enumerate(clients)]
    for number, answers in enumerate(await gatherResults(asking)):
        print(f"client {number}: {sorted(answers)}")
    await workers.close()
    await gatherResults(working)  # a loop over a closed mesh ends
    print(sum(done.values()), "done")
    for client in clients:
        await client.close()
    await listener.close()


react(main)
