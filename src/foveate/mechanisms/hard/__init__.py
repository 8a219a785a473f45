"""Hard attention: a choice instead of an average."""
