"""The engine: runs, their event logs, readers and recovery. It knows nothing of HTTP or of Flask."""
