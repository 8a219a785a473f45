"""The atlas: one offline page on which a click shows where a model looks from there, layer by layer."""
