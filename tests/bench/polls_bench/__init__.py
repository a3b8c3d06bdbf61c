"""The benchmark; see ../run."""
