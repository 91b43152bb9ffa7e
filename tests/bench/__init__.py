"""The bench: figures beside a peer or a limit measured in the same run, one JSON line each."""
