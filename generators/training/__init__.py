"""How the bundled weights are made: scenes, renders, augmentation, losses, the loop. Needs torch; a GPU to be quick."""
