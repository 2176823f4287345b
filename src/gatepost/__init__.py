"""Gatepost, a consent-enforcing SMTP relay."""

__version__ = "0.1.0"
