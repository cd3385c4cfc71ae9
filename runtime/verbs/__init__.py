"""What each verb of the command line does: one function for a verb, which returns its exit code."""
