"""Secrets at rest: a key ring, and a model field that only ever hands out a closed envelope."""
