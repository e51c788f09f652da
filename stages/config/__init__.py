"""params.yaml, checked and typed; the command line; errors that a user can fix."""
