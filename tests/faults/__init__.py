"""Real servers and real function processes, killed and frozen where it hurts most."""
