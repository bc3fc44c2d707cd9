"""Container engines: what a run asks of one, and what one may not let it do."""
