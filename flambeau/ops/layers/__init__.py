"""Operations of the rarer layers: imported with nn.functional, not with Flambeau."""
