"""Searching many people: a gallery that explains its candidates and forgets on request."""
