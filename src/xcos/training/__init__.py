"""Networks, the xCos head, losses, data and the loop. Needs the extra ``train``; inference never imports it."""
