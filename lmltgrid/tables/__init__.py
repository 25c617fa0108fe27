"""What the papers and collaborations publish: models, nuclei, fluxes, experiments."""
