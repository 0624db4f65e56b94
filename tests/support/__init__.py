"""What the tests stand on: real private servers on free ports, and a client that sees every byte.

Each server is a context manager and leaves no process behind, also when pytest itself is killed.
"""
