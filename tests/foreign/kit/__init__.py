"""What the checks stand on: processes that end with the run, a node and its origin, foreign clients."""
