"""The runtime: a plan becomes records, and records become a report."""
