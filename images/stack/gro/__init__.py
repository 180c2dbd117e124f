"""Orders: split, executed, proven, compensated, resumed."""
