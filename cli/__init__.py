"""The command line, a module per verb or family of verbs; `kvae` starts in `start`."""
