"""Conductor of what comes back: bounces, complaints and unsubscribe mail become facts."""
