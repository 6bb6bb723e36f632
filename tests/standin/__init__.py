"""A stand-in Dify and its plugin daemon: real sockets and real processes, scripted answers."""
