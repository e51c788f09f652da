"""What each stage really reads, next to what dvc.yaml declares."""
