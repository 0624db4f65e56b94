"""The built-in prompts: one per persona and language, and `care`, which both hold."""
