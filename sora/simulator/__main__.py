"""`python -m sora.simulator`: the simulator as a process of its own."""

from __future__ import annotations

import argparse

from sora.simulator.server import serve


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m sora.simulator", description="An OpenAI-compatible simulator."
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8100, help="0: any free port (default: %(default)s)")
    parser.add_argument("--with-parent", action="store_true", help="end when the parent process ends")
    options = parser.parse_args()
    serve(options.host, options.port, with_parent=options.with_parent)


if __name__ == "__main__":
    main()
