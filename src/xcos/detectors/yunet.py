"""YuNet."""
