"""Methods that look at a calibration text, or alter the model, before it is rounded: a table, and recipes of them."""
