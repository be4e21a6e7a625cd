"""Scripts that run inside the jail, standard library only; nothing of ours imports them."""
