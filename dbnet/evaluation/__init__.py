"""Protocols, results, submissions. Its modules are imported from: some bring torch, some do not."""
