"""PluginRegistry: which plugins there are, what they depend on, which versions fit together."""
