"""Small helpers that results depend on: parameters, files, devices."""
