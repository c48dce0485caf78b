"""The pure core: values in, values out; no clock, disk, network, log or thread."""
