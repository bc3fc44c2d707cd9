"""czrun: containerized model evaluation for cell biology."""
