"""What Sora costs, measured beside a raw proxy and the usual relays. `make bench` runs it; README.md explains it."""
