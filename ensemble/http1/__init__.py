"""HTTP/1.1 over plain sockets: the one client that agents and sidecars are called through.

A general client takes longer over a request than the fastest of those it asks, and every step of a chain would wait for
it. This one knows no redirects, cookies or repeats: whoever calls decides about them, and here nobody wants any. A proxy and
more certificates to trust are told by a *passage*; nothing is read from the environment but where the system's trusted
certificates lie.

The law of this folder: nothing of ours is imported from outside it. Bytes are judged in ``asking``, ``framing`` and
``unpacking``, which touch no socket; sockets are touched in ``streams``, ``tunnel`` and ``connection``, which judge
nothing.
"""
