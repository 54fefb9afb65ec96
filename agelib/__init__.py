"""Reproducible age-estimation experiments: what the numbered notebooks share."""
