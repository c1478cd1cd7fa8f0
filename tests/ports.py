"""Free ports for tests that listen."""

import socket


def free_ports(count: int) -> list[int]:
    """Ports on which nothing listens now."""
    servers = [socket.create_server(("localhost", 0)) for _ in range(count)]
    ports = [server.getsockname()[1] for server in servers]
    for server in servers:
        server.close()
    return ports
