"""Many scans: what is to do, who does it, what is done, and the tables over all of them."""
