"""The paper's latent re-attention (section 3.4)."""
