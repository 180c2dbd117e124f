"""The controller's side towards those who order: datastore, intent, and what is told of the network."""
