"""Pictures, volumes and curves as the browser shows them: arrays of outputs in, bytes out."""
