"""From what others send to frozen values."""
