"""PluginManager: desired against observed, one plan, one loop that carries it out."""
