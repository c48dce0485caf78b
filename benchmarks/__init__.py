"""What is measured, and the commands that print it: ``python -m benchmarks NAME``."""
