#!/usr/bin/python3
"""seeds.py FOLDER: writes inputs from which the fuzzers find on faster, to FOLDER/control and FOLDER/ring.

What the bytes mean is said by take_packet() in control_fuzz.cpp and by ring_fuzz.cpp.
"""

import struct
import sys
from pathlib import Path

ACK, HELLO, INIT, ADD_REGION, ADD_RING, CONNECT, CONNECTED, DISCONNECT = range(1, 9)
SMALL_SEALED, LARGE_SEALED, UNSEALED, EVENT, NO_MEMORY = range(5)
SERVER, CLIENT = 0, 1


def packet(kind, body=b"", *descriptors):
    """A packet of the right size."""
    return bytes([len(descriptors), kind, len(body)]) + body + bytes(descriptors)


def init(secret=b""):
    return packet(INIT, struct.pack("<HIB24s32s", 0x0200, 7, 0, secret, b"seed"))


def region(index, size, memory):
    return packet(ADD_REGION, struct.pack("<HQ", index, size), memory)


def ring(s2m, index, offset, log2_size, of_region=0):
    return packet(ADD_RING, struct.pack("<HHHIBH", s2m, index, of_region, offset, log2_size, 0), EVENT)


def memory(which, at, content):
    """A write by the peer."""
    return bytes([which]) + struct.pack("<HB", at, len(content) - 1) + content


def server(*packets, options=0):
    """Between two packets, the peer may write; here it does not (1)."""
    return bytes([SERVER, options]) + b"".join(b"\1" + each for each in packets)


def client(*packets, options=0):
    return bytes([CLIENT, options]) + b"".join(packets)


def descriptor(flags, of_region, length, offset):
    return struct.pack("<HHIII", flags, of_region, length, offset, 0)


RINGS = (ring(1, 0, 0, 2), ring(0, 0, 192, 2))
SENT = (memory(0, 128, descriptor(0, 0, 64, 1024)), memory(0, 6, struct.pack("<H", 1)))  # a packet, and the head
CHAIN = (memory(0, 128, descriptor(1, 0, 64, 1024) + descriptor(0, 0, 64, 2048)), memory(0, 6, struct.pack("<H", 2)))
HELLO_BODY = struct.pack("<32sHHHHHB", b"seed", 0x0200, 0x0200, 255, 255, 255, 14)
ACKS = [packet(ACK)] * 4  # of INIT, one region, two rings

CONTROL = {
    "server": server(init(), region(0, 4096, SMALL_SEALED), *RINGS, packet(CONNECT, b"seed")) + b"".join(SENT),
    "server-chain": server(init(b"abc"), region(0, 4096, SMALL_SEALED), *RINGS, packet(CONNECT), options=1)
    + b"".join(CHAIN),
    "server-two-regions": server(init(), region(0, 4096, SMALL_SEALED), region(1, 65536, LARGE_SEALED), *RINGS,
                                 ring(1, 1, 0, 4, 1), packet(CONNECT)),
    "server-unsealed": server(init(), region(0, 8192, UNSEALED), *RINGS, packet(CONNECT), options=4),
    "server-all-queues": server(init(), region(0, 65536, LARGE_SEALED),
                                *(ring(s2m, index, 1024 * (3 * s2m + index), 1)
                                  for s2m in (1, 0) for index in (0, 1, 2)), packet(CONNECT)),
    "server-too-many-queues": server(init(), region(0, 65536, LARGE_SEALED), ring(0, 0, 8192, 1),
                                     *(ring(1, index, 1024 * index, 1) for index in range(4)), packet(CONNECT)),
    "server-busy": server(init(), options=2),
    "server-bye": server(init(), packet(DISCONNECT, bytes(4) + b"bye")),
    "client": client(packet(HELLO, HELLO_BODY), *ACKS, packet(CONNECTED, b"seed")) + memory(0, 64, bytes(8)),
    "client-bye": client(packet(HELLO, HELLO_BODY), packet(DISCONNECT, bytes(4) + b"bye"), options=1),
}

RECEIVE, SEND = 0, 1
OUR_TURN, PEERS_TURN, HAND_OVER = 0, b"\3\1", 6


def played(does, role, steps):
    """One region of 1024 bytes, four slots, indices about to wrap."""
    return bytes([does, role]) + struct.pack("<BHBH", 1, 0xFFFE, 0, 1020) + b"".join(steps)


HANDED_OVER = PEERS_TURN + bytes([HAND_OVER, 0]) + struct.pack("<II", 16, 100)
CHAINED = PEERS_TURN + bytes([HAND_OVER, 0x80]) + struct.pack("<II", 16, 100)
RING = {
    "receive-server": played(RECEIVE, 0, [HANDED_OVER, b"\0", b"\2"] * 4),
    "receive-server-chain": played(RECEIVE, 0, [CHAINED, CHAINED, HANDED_OVER, b"\0", b"\2"]),
    "receive-client": played(RECEIVE, 1, [b"\2", HANDED_OVER, b"\0", b"\2"] * 3),
    "send-client": played(SEND, 1, [struct.pack("<HB", 100, 0), struct.pack("<HB", 0, 3)] * 3),
    "send-server": played(SEND, 0, [struct.pack("<HB", 0, 5) + HANDED_OVER[2:], struct.pack("<HB", 50, 0),
                                    struct.pack("<HB", 0, 3)] * 2),
}


def main():
    for name, seeds in (("control", CONTROL), ("ring", RING)):
        folder = Path(sys.argv[1]) / name
        folder.mkdir(parents=True, exist_ok=True)
        for seed, content in seeds.items():
            (folder / seed).write_bytes(content)


if __name__ == "__main__":
    main()
