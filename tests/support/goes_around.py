"""Attempts of a program to bypass a web filter; run with `python3 -c` inside a session."""

from __future__ import annotations

GOES_AROUND = """
import concurrent.futures, json, socket, sys
def tcp(address, port, family=socket.AF_INET):
    with socket.socket(family, socket.SOCK_STREAM) as s:
        s.settimeout(2)
        s.connect((address, port))
        return "connected"
def udp(address, port, data):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(2)
        s.connect((address, port))
        s.send(data)
        return s.recv(512).hex()
question = b"\\x12\\x34\\x01\\x00\\x00\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x04open\\x04test\\x00\\x00\\x01\\x00\\x01"
def tried(line):
    try:
        what, *arguments = line
        if what == "udp":
            arguments.append(question)
        if what == "tcp6":
            return tcp(*arguments, family=socket.AF_INET6)
        if what == "raw":
            socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
            return "raw socket"
        return {"tcp": tcp, "udp": udp, "resolve": socket.gethostbyname}[what](*arguments)
    except OSError as error:
        return f"failed: {error}"
lines = json.loads(sys.argv[1])
with concurrent.futures.ThreadPoolExecutor(len(lines)) as tries:
    print(json.dumps(dict(zip(map(str, lines), tries.map(tried, lines)))))
"""
"""A list of [kind, arguments] in JSON → the result of each."""
