"""Where attention goes: read a spec, find the sites of a model, put mechanisms there, take them out again."""
