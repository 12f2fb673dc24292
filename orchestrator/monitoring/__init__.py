"""Monitoring: what is measured of the plugins and the daemon, kept, and shown."""
