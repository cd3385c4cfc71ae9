"""The compiler: a study file becomes a plan and launch scripts, without torch."""
