"""The name under which targets of AutoResearch-RL find their progress channel; nothing else of that package is here."""
