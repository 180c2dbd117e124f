"""What the components of the stack share."""
