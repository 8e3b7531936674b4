"""The rooms that know a modelling library: our types in, our types out."""
