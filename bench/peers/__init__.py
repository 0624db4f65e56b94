"""The relays that Sora is measured against, written the way tutorials do."""
