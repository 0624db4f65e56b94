"""Documents and tables become passages, and passages ranked sources; what comes with a question is read here, too."""
